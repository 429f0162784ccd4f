"""Runs of `dvc repro` and `dvc exp run --temp` in a real project land in one store."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from voxtwist.tracking.store import open_store
from voxtwist.vcs import md5

TRAIN = """
from pathlib import Path
import yaml
from voxtwist.tracking import lineage, runs, store

here = Path()
settings = yaml.safe_load(Path("params.yaml").read_text())
found = lineage.collect(here, {"split": "split.jsonl"})
opened = store.open_store(here, "voxtwist")
with runs.training_run(opened, "toy", params=settings, lineage=found) as run:
    Path("model").write_text(str(settings))
    Path("run_id").write_text(run.id)
"""


@pytest.mark.slow
def test_an_experiment_in_a_temporary_copy_logs_into_the_project(repository: Path):
    def run(*command: str) -> None:
        environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        subprocess.run(command, cwd=repository, check=True, env=environment)

    (repository / "params.yaml").write_text("learning_rate: 0.1\n")
    (repository / "split.jsonl").write_text("{}\n")
    (repository / "train.py").write_text(TRAIN)
    stage = {
        "cmd": "python train.py",
        "deps": ["split.jsonl", "train.py"],
        "params": ["learning_rate"],
        "outs": ["model", {"run_id": {"cache": False}}],
    }
    (repository / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"train": stage}}))
    (repository / ".gitignore").write_text("mlflow.db*\nmlruns\n.scratch\nmodel\n__pycache__\n")
    run("dvc", "init", "-q")
    run("git", "add", ".")
    run("git", "commit", "-qm", "pipeline")

    run("dvc", "repro", "-q")
    run("git", "add", ".")
    run("git", "commit", "-qm", "first model")
    run("dvc", "exp", "run", "-q", "--temp", "-n", "brave-owl", "-S", "learning_rate=0.3")

    store = open_store(repository, "voxtwist")
    experiment, first = store.client.search_runs([store.experiment_id])
    assert [first.info.status, experiment.info.status] == ["FINISHED", "FINISHED"]
    assert first.data.tags["git.dirty"] == "false"
    assert first.data.tags["dvc.stage"] == "train"
    assert first.data.tags["md5.split"] == md5(repository / "split.jsonl")
    assert experiment.data.params == {"learning_rate": "0.3"}
    assert experiment.data.tags["dvc.experiment"] == "brave-owl"
    assert (repository / "run_id").read_text() == first.info.run_id
    run("dvc", "exp", "apply", "-q", "brave-owl")
    assert (repository / "run_id").read_text() == experiment.info.run_id
