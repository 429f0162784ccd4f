"""The preset slam-omni from raw shards to the registry, with stand-ins of the same shapes.

What differs from the real run is paths and sizes (`overlay`); code and stages are the same.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
import yaml
from mlflow import MlflowClient
from safetensors import safe_open
from transformers import AutoTokenizer

ROOT = Path(__file__).parents[2]


@pytest.fixture
def clone(tmp_path, overlay, stand_ins) -> Path:
    folder = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(folder)], check=True)
    preset = {"extends": "slam-omni"} | overlay
    (folder / "presets/rehearsal.yaml").write_text(yaml.safe_dump(preset))
    return folder


def run(clone: Path, *command: str, code: int = 0) -> str:
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(clone / "src"),
        "HF_DATASETS_CACHE": str(clone.parent / "datasets"),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        command, cwd=clone, env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert done.returncode == code, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_the_production_preset_runs_from_raw_shards_to_the_registry(clone, stand_ins):
    preset = ["python", "-m", "voxtwist", "preset"]
    run(clone, *preset, "slam-omni", "--raw", str(stand_ins / "data"))
    missing = json.loads(
        run(
            clone, "python", "-m", "voxtwist", "preflight", "--probe-seconds", "0", "--json", code=1
        )
    )
    states = {check["name"]: check["state"] for check in missing["checks"]}
    assert states["raw data"] == "warning"  # 3 of 853 shards
    assert states["base model"] == states["codec"] == states["recogniser"] == "missing"

    run(clone, *preset, "rehearsal", "--raw", str(stand_ins / "data"))
    ready = json.loads(
        run(clone, "python", "-m", "voxtwist", "preflight", "--probe-seconds", "0", "--json")
    )
    assert ready["ready"], ready
    run(clone, "dvc", "repro")

    metrics = {path.stem: json.loads(path.read_text()) for path in (clone / "metrics").iterdir()}
    assert metrics["convert"]["rows_out"] == 36
    assert metrics["split"]["train"] + metrics["split"]["eval"] == 36
    assert metrics["train"]["steps"] >= 5
    assert {f"mmlu_abstract_algebra/{name}" for name in ("acc", "n")} <= metrics["text_sft"].keys()
    assert "mmlu_redux_abstract_algebra_letters/acc" in metrics["text_sft"]
    assert "mmlu_redux_abstract_algebra_generative/exact_match/strict" in metrics["text_sft"]
    assert metrics["speech"]["heldout/alpaca/well_formed"] == 1
    assert "heldout/alpaca/voice_similarity" in metrics["speech"]
    audio = sorted((clone / "samples/speech").glob("*.flac"))
    assert len(audio) == 3
    assert soundfile.info(audio[0]).samplerate == 22_050

    # The layout of the real vocabulary: 151,669 text ids, 4 marks, 4,096 codes, padded to 128.
    sft = clone / "checkpoints/sft"
    tokenizer = AutoTokenizer.from_pretrained(sft)
    assert tokenizer.convert_tokens_to_ids(["<text>", "<|s_0|>", "<|s_4095|>"]) == [
        151_669, 151_673, 155_768,
    ]  # fmt: skip
    tables = {}
    for name in ("base", "sft"):
        with safe_open(clone / f"checkpoints/{name}/model.safetensors", "pt") as weights:
            tables[name] = weights.get_tensor("model.embed_tokens.weight")
    assert len(tables["sft"]) == 155_776
    assert tables["sft"][:151_669].equal(tables["base"][:151_669])  # freeze: text_embeddings

    version = MlflowClient(f"sqlite:///{clone}/mlflow.db").get_model_version("voxtwist", "1")
    assert version.tags["md5.checkpoint"].endswith(".dir")
    assert "up to date" in run(clone, "dvc", "repro")

    answer = run(
        clone, "bash", "-c",
        "echo 'What comes after 3?' | python -m voxtwist chat models:/voxtwist/1 --json",
    )  # fmt: skip
    assert json.loads(answer)["problem"] is None
