"""A project folder in which a sweep of a tiny model runs."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import optuna
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run

from training_project import project

ROOT = Path(__file__).parents[2]
SWEEP = {
    "space": {
        "train.learning_rate": {"log": [1e-3, 1e-1]},
        "train.freeze": ["none", "all_but_new"],
    },
    "trials": 3,
    "max_steps": 4,
    "eval_steps": 2,
    "eval_samples": 4,
    "text_samples": 8,
    "margin": 100.0,
    "pruner": "none",
}


class SweepProject:
    """`voxtwist sweep` and what it leaves behind."""

    def __init__(self, project, base: Path, **sweep: object) -> None:
        self.folder = project.folder
        self.settings = project.settings
        (self.folder / "checkpoints" / "base").rmdir()
        (self.folder / "checkpoints" / "base").symlink_to(base)
        for name in ("train", "eval"):
            file = self.folder / "data" / "splits" / f"{name}.jsonl"
            count = len(file.read_bytes().splitlines())
            questions = [f"Question {i}?" for i in range(count)]
            pq.write_table(pa.table({"question": questions}), file.with_suffix(".rows.parquet"))
        self.settings["codec"]["n_codes"] = 32
        self.settings["twist"] |= {"init": "mean+std", "noise": 1.0}
        self.change(**SWEEP | sweep)

    def change(self, **sweep: object) -> None:
        self.settings["sweep"] |= sweep
        self.write()

    def write(self) -> None:
        (self.folder / "params.yaml").write_text(yaml.safe_dump(self.settings))

    @property
    def environment(self) -> dict[str, str]:
        path = f"{self.folder / 'hook'}:{ROOT / 'src'}"
        return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}

    def hook(self, code: str) -> None:
        """Python code that every Python process of the project starts with."""
        (self.folder / "hook").mkdir()
        (self.folder / "hook" / "sitecustomize.py").write_text(code)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "voxtwist", "sweep", *arguments]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command("run", *arguments),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
        )

    def table(self) -> list[dict[str, str]]:
        with (self.folder / "sweep" / "trials.csv").open() as file:
            return list(csv.DictReader(file))

    def report(self) -> dict:
        return json.loads((self.folder / "metrics" / "sweep.json").read_text())

    def study(self) -> optuna.Study:
        """The one that DVC keeps."""
        storage = optuna.storages.JournalStorage(
            optuna.storages.journal.JournalFileBackend(
                str(self.folder / "sweep" / "study" / "study.journal")
            )
        )
        return optuna.load_study(study_name=None, storage=storage)

    def client(self) -> MlflowClient:
        return MlflowClient(f"sqlite:///{self.folder}/mlflow.db")

    def runs(self, search: str = "") -> list[Run]:
        return self.client().search_runs(["1"], search)


@pytest.fixture
def sweep_project(project, tiny_base):
    """Makes projects with settings of `sweep`."""
    return lambda name, **sweep: SweepProject(project(name), tiny_base, **sweep)
