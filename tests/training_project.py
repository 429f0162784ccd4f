"""A tiny training as the pipeline starts it: a project folder and the stage's own script."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import orjson
import pytest
import yaml
from mlflow import MlflowClient
from transformers import AutoTokenizer

from voxtwist.vocabulary import ChatFormat

ROOT = Path(__file__).parents[1]

# Runs the stage's script, and sends a signal to its own processes right after a step.
SIGNALLED = """
import os, sys
from pathlib import Path
from voxtwist.training.train import Trainer
signal, at = int(sys.argv[1]), int(sys.argv[2])
take_step = Trainer.optimizer_step
def optimizer_step(self, step):
    metrics = take_step(self, step)
    if step == at:
        os.kill(os.getpid(), signal)
    return metrics
Trainer.optimizer_step = optimizer_step
exec(Path("pipelines/train.py").read_text())
"""


def write_splits(twist: Path, folder: Path, train: int = 24, held_out: int = 6) -> Path:
    """SFT files of answers with 24 of 32 codes."""
    chat = ChatFormat.from_tokenizer(AutoTokenizer.from_pretrained(twist))
    generator = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    for name, count in (("train", train), ("eval", held_out)):
        questions = [f"Question {i}?" for i in range(count)]
        codes = [np.repeat(generator.integers(0, 32, 6), 4) for _ in range(count)]
        samples = chat.encode_batch(questions, ["An answer."] * count, codes)
        lines = [
            orjson.dumps({"input_ids": s.input_ids.tolist(), "labels": s.labels.tolist()})
            for s in samples
        ]
        (folder / f"{name}.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    return folder


class Project:
    """A folder in which `pipelines/train.py` runs as it does in the pipeline."""

    def __init__(self, folder: Path, twist: Path, **train: object) -> None:
        self.folder = folder
        write_splits(twist, folder / "data" / "splits")
        (folder / "checkpoints").mkdir()
        (folder / "checkpoints" / "twist").symlink_to(twist)
        (folder / "pipelines").symlink_to(ROOT / "pipelines")
        for path in ("checkpoints/base", "data/raw/embedded", "data/codec/phones"):
            (folder / path).mkdir(parents=True)
        subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
        self.settings = yaml.safe_load((ROOT / "params.yaml").read_text())
        self.change(
            epochs=5, batch_tokens=256, step_tokens=512, eval_steps=4, log_steps=1, save_steps=3,
            precision="fp32", learning_rate=1e-2, new_rows_learning_rate=1e-2,
            **{"freeze": "none", **train},
        )  # fmt: skip

    def change(self, **train: object) -> None:
        self.settings["train"] |= train
        (self.folder / "params.yaml").write_text(yaml.safe_dump(self.settings))

    def train(self, *prefix: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *(prefix or ("pipelines/train.py",))],
            cwd=self.folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}
            | environment,
            capture_output=True,
            text=True,
        )

    def train_until(
        self, signal: int, step: int, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Start training; `signal` reaches each of its processes right after that step."""
        script = self.folder / "signalled.py"
        script.write_text(SIGNALLED)
        return self.train(script.name, str(int(signal)), str(step), **environment)

    def report(self) -> dict:
        return json.loads((self.folder / "metrics" / "train.json").read_text())

    def weights(self, name: str = "last") -> bytes:
        return (self.folder / "checkpoints" / name / "model.safetensors").read_bytes()

    def client(self) -> MlflowClient:
        return MlflowClient(f"sqlite:///{self.folder}/mlflow.db")

    def history(self, metric: str) -> list[tuple[int, float]]:
        run = self.report()["run_id"]
        rows = self.client().get_metric_history(run, metric)
        return sorted((row.step, row.value) for row in rows)


@pytest.fixture(scope="session")
def splits(tiny_twist, tmp_path_factory) -> Path:
    """A folder with train.jsonl and eval.jsonl for `tiny_twist`."""
    return write_splits(tiny_twist, tmp_path_factory.mktemp("splits"))


@pytest.fixture
def project(tiny_twist, tmp_path):
    """Makes projects with settings of `train`."""
    return lambda name, **train: Project(_made(tmp_path / name), tiny_twist, **train)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
