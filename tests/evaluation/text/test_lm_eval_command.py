"""`voxtwist lm-eval` is lm-eval with our model and tasks known."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import voxtwist
from completions_server import serving

SOURCE = Path(voxtwist.__file__).parents[1]
COMMAND = """
import typer
from voxtwist.cli import evaluate
app = typer.Typer()
app.callback()(lambda: None)
evaluate.register(app)
app()
"""


def lm_eval(*arguments: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, "lm-eval", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout + done.stderr


def test_every_flag_is_passed_on(tmp_path: Path, speech_tokenizer: PreTrainedTokenizerFast) -> None:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(speech_tokenizer), hidden_size=32, intermediate_size=32,
        num_hidden_layers=1, num_attention_heads=2,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(tmp_path / "model")
    speech_tokenizer.save_pretrained(tmp_path / "model")
    lm_eval(
        "--model", "unitlm", "--model_args", "pretrained=model,mask_speech=True", "--tasks",
        "trivia", "--limit", "3", "--log_samples", "--output_path", "out", "--device", "cpu",
        "--batch_size", "2",
        folder=tmp_path,
    )  # fmt: skip
    results = json.loads(next((tmp_path / "out").rglob("results_*.json")).read_text())
    assert results["n-samples"]["trivia"]["effective"] == 3
    assert results["config"]["model"] == "unitlm"
    assert results["config"]["model_args"]["mask_speech"] is True
    assert next((tmp_path / "out").rglob("samples_trivia_*.jsonl")).read_text().count("\n") == 3


@pytest.mark.slow
def test_a_server_by_lm_evals_own_model(tmp_path: Path, tiny_twist: Path) -> None:
    with serving(tiny_twist) as running:
        lm_eval(
            "--model", "local-completions", "--model_args",
            f"model={tiny_twist},base_url={running.url}/completions,tokenizer_backend=huggingface",
            "--tasks", "trivia", "--limit", "2", "--output_path", "out",
            folder=tmp_path,
        )  # fmt: skip
    results = json.loads(next((tmp_path / "out").rglob("results_*.json")).read_text())
    assert results["n-samples"]["trivia"]["effective"] == 2


def test_help_is_lm_evals_own(tmp_path: Path) -> None:
    assert "--num_fewshot" in lm_eval("run", "--help", folder=tmp_path)
