"""Our dvc.yaml at its smallest: two raw shards, a random two-layer model, five steps."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from voxtwist.data.raw import RAW_SCHEMA, SPEECH_COLUMN
from voxtwist.tracking.store import Store, open_store

ROOT = Path(__file__).parents[3]
# Left out are the evaluation stages, which load recognisers and lm-eval.
STAGES = ["base", "convert", "split", "twist", "train", "register"]
SHARDS, ROWS, CODES = 2, 20, 32


class Pipeline:
    """A git repository with our stages, in which DVC runs as a user runs it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(self.folder / "src"),
            "OMP_NUM_THREADS": "1",
        }
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"[-3000:]
        return done

    def voxtwist(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run("python", "-m", "voxtwist", *arguments, check=check)

    def commit(self, message: str) -> None:
        self.run("git", "add", ".")
        self.run("git", "commit", "-qm", message)

    def clone(self, folder: Path) -> "Pipeline":
        """A fresh clone, without any data."""
        subprocess.run(["git", "clone", "-q", str(self.folder), str(folder)], check=True)
        copy = Pipeline(folder)
        copy.identify()
        return copy

    def clone_with_data(self, folder: Path) -> "Pipeline":
        """A clone that shares the cache of this one and has its data checked out."""
        copy = self.clone(folder)
        copy.run("dvc", "config", "--local", "cache.dir", str(self.folder / ".dvc/cache"))
        copy.run("dvc", "checkout", "-q", "--allow-missing")  # no sweep has run
        return copy

    def change(self, section: str, **settings: object) -> None:
        file = self.folder / "params.yaml"
        values = yaml.safe_load(file.read_text())
        values[section] |= settings
        file.write_text(yaml.safe_dump(values))

    def report(self, stage: str) -> dict:
        return json.loads((self.folder / "metrics" / f"{stage}.json").read_text())

    def identify(self) -> None:
        self.run("git", "config", "user.email", "a@example.org")
        self.run("git", "config", "user.name", "a")

    @property
    def store(self) -> Store:
        return open_store(self.folder, "voxtwist")


@pytest.fixture(scope="session")
def trained(tmp_path_factory, tiny_base) -> Pipeline:
    """The pipeline after `dvc repro`, committed: one run, version 1. Shared: clone it to change it.

    Half a minute to a minute.
    """
    pipeline = make_pipeline(tmp_path_factory.mktemp("trained") / "project", tiny_base)
    pipeline.run("dvc", "repro", "-q")
    pipeline.commit("first model")
    return pipeline


def make_pipeline(folder: Path, base: Path) -> Pipeline:
    """The project with its raw data and codec in DVC; nothing has run yet."""
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(
        ROOT / "pipelines", folder / "pipelines", ignore=shutil.ignore_patterns("corpus")
    )
    for name in (".gitignore", ".dvcignore"):
        shutil.copy(ROOT / name, folder)
    _write_settings(folder, base)
    _write_stages(folder)
    _write_data(folder)
    made = Pipeline(folder)
    made.run("git", "init", "-q")
    made.identify()
    made.run("dvc", "init", "-q")
    made.run("dvc", "config", "core.analytics", "false")
    made.run("dvc", "add", "-q", "data/raw/embedded", "data/codec/phones")
    made.commit("pipeline")
    return made


def _write_settings(folder: Path, base: Path) -> None:
    settings = yaml.safe_load((ROOT / "params.yaml").read_text())
    settings["base"]["model"] = str(base)
    settings["codec"]["n_codes"] = CODES
    settings["twist"]["init"] = "mean+std"
    settings["data"]["workers"] = 1
    settings["train"] |= {
        "epochs": 1, "batch_tokens": 256, "step_tokens": 512, "eval_steps": 4, "log_steps": 1,
        "save_steps": 3, "precision": "fp32",
    }  # fmt: skip
    (folder / "params.yaml").write_text(yaml.safe_dump(settings))


def _write_stages(folder: Path) -> None:
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text())
    stages = {name: pipeline["stages"][name] for name in STAGES}
    stages["register"]["deps"] = [
        path for path in stages["register"]["deps"] if not path.startswith("samples/")
    ]
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))


def _write_data(folder: Path) -> None:
    generator = np.random.default_rng(0)
    raw, codec = folder / "data/raw/embedded", folder / "data/codec/phones"
    raw.mkdir(parents=True)
    codec.mkdir(parents=True)
    (codec / "README").write_text("Only twist.init: codec would read it.\n")
    for shard in range(SHARDS):
        rows = [
            {
                "split_name": "train",
                "index": f"numbers-{i:05d}",
                "round": 1,
                "question": f"What is {i} plus {i}?",
                "answer": f"{i} plus {i} makes {2 * i}.",
                SPEECH_COLUMN: generator.integers(0, CODES, 20).tolist(),
            }
            for i in range(shard * ROWS, (shard + 1) * ROWS)
        ]
        name = f"train-{shard:05d}-of-{SHARDS:05d}.parquet"
        pq.write_table(pa.Table.from_pylist(rows, RAW_SCHEMA), raw / name)
