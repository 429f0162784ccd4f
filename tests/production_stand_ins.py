"""Stand-ins of what production needs: the same files, names and vocabularies, at toy size."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from cosyvoice_stand_in import write_front_end
from voxtwist.codec.cosyvoice.adapter import DEFAULT_SPEAKER
from voxtwist.data.raw import SPEECH_COLUMN

ROOT = Path(__file__).parents[1]
QWEN3 = ROOT / ".cache" / "qwen3-tokenizer"
COSYVOICE = ROOT / "tests" / "codec" / "data" / "cosyvoice" / "tiny"
ROWS = 12  # of each shard
SUBJECT = "abstract_algebra"  # of 57


@pytest.fixture(scope="session")
def stand_ins(tmp_path_factory) -> Path:
    """A folder with data/, models/ and datasets/, as `overlay` names them."""
    folder = tmp_path_factory.mktemp("stand-ins")
    write_shards(folder / "data")
    write_qwen3(folder / "models" / "Qwen3-tiny")
    write_cosyvoice(folder / "models" / "CosyVoice-tiny")
    write_mmlu(folder / "datasets")
    return folder


def write_shards(folder: Path) -> None:
    """Three of the 853, in the schema of the release, the audio column included."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for shard in range(3):
        numbers = range(shard * ROWS, (shard + 1) * ROWS)
        rows = {
            "split_name": ["train"] * ROWS,
            "index": [f"alpaca-{number:06d}" for number in numbers],
            "round": pa.array([1] * ROWS, pa.int64()),
            "question": [f"<USER>: What comes after {number}?" for number in numbers],
            "question_audio": [{"bytes": b"RIFF" * 100, "path": f"{n}.wav"} for n in numbers],
            "answer": [f"After {number} comes {number + 1}." for number in numbers],
            SPEECH_COLUMN: [generator.integers(0, 4096, 80).tolist() for _ in numbers],
            "answer_snac": [""] * ROWS,
        }
        pq.write_table(pa.table(rows), folder / f"train-{shard:05d}-of-00853.parquet")


def write_qwen3(folder: Path) -> None:
    """Random weights, the published vocabulary and the real tokenizer."""
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=151_936, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=8, tie_word_embeddings=True,
        max_position_embeddings=40_960, eos_token_id=151_645,
    )  # fmt: skip
    Qwen3ForCausalLM(config).save_pretrained(folder)
    for file in QWEN3.iterdir():
        shutil.copy(file, folder)


def write_cosyvoice(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name in ("cosyvoice.yaml", "flow.pt", "hift.pt"):
        shutil.copy(COSYVOICE / name, folder)
    torch.save({DEFAULT_SPEAKER: {"embedding": torch.ones(1, 192)}}, folder / "spk2info.pt")
    write_front_end(folder)


def write_mmlu(folder: Path) -> None:
    """Copies in the hub's layout of MMLU and MMLU-Redux, one subject, three questions each."""
    for name in ("cais/mmlu", "fxmarty/mmlu-redux-2.0-ok"):
        rows = [
            {"question": f"Which is {i}?", "choices": ["w", "x", "y", "z"], "answer": i}
            for i in range(3)
        ]
        table = folder / name / SUBJECT / "test-00000-of-00001.parquet"
        table.parent.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(rows), table)
        pq.write_table(pa.Table.from_pylist(rows), table.with_name("dev-00000-of-00001.parquet"))
        card = ["---", "configs:", f"- config_name: {SUBJECT}", "  data_files:"]
        for split in ("test", "dev"):
            card += [f"  - split: {split}", f"    path: {SUBJECT}/{split}-*"]
        (folder / name / "README.md").write_text("\n".join([*card, "---", ""]))


@pytest.fixture(scope="session")
def overlay(stand_ins: Path) -> dict[str, dict[str, object]]:
    """Over the preset slam-omni: paths and sizes, nothing else."""
    models = stand_ins / "models"
    return {
        "base": {"model": str(models / "Qwen3-tiny")},
        "codec": {"path": str(models / "CosyVoice-tiny")},
        "data": {"workers": 2},
        "train": {
            "batch_tokens": 512, "step_tokens": 512, "eval_steps": 5, "save_steps": 5,
            "log_steps": 1,
        },
        "generate": {"max_text_tokens": 8, "max_speech_seconds": 0.4},
        "evaluate_text": {
            "suites": [
                f"mmlu_{SUBJECT}", f"mmlu_redux_{SUBJECT}_generative",
                f"mmlu_redux_{SUBJECT}_letters",
            ],
            "datasets": str(stand_ins / "datasets"),
            "bootstrap": 100,
        },
        "evaluate_speech": {
            "samples": 2, "taught": 1, "asr": "moonshine", "bootstrap": 100,
            "voice": str(models / "CosyVoice-tiny"),
        },
    }  # fmt: skip
