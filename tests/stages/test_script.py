"""A stage that DVC runs and that fails leaves what it had made before."""

import os
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys
from pathlib import Path
import yaml
from voxtwist.errors import VoxtwistError
from voxtwist.stages.script import stage_script

with stage_script():
    value = yaml.safe_load(Path("params.yaml").read_text())["train"]
    Path("checkpoints").mkdir(exist_ok=True)
    Path("checkpoints/weights").write_text(str(value))
    if value == "typo":
        raise VoxtwistError("train is typo")
    if value == "crash":
        raise KeyError(value)
    if value == "stopped":
        sys.exit(75)
    Path("train.json").write_text(str(value))
"""


def test_outputs_come_back_and_the_run_cache_still_works(repository: Path):
    def dvc(*arguments: str) -> subprocess.CompletedProcess[str]:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return subprocess.run(
            [sys.executable, "-m", "dvc", *arguments],
            cwd=repository,
            env=os.environ | {"PATH": path, "PYTHONPATH": str(ROOT / "src")},
            capture_output=True,
            text=True,
        )

    def train(value: str) -> subprocess.CompletedProcess[str]:
        (repository / "params.yaml").write_text(f"train: {value}\n")
        return dvc("repro", stage)

    stage = "pipelines/corpus/dvc.yaml"
    (repository / "pipelines/corpus").mkdir(parents=True)
    (repository / "train.py").write_text(SCRIPT)
    train_stage = {
        "wdir": "../..", "cmd": "python train.py", "deps": ["train.py"], "params": ["train"],
        "outs": ["checkpoints"], "metrics": [{"train.json": {"cache": False}}],
    }  # fmt: skip
    (repository / stage).write_text(yaml.safe_dump({"stages": {"train": train_stage}}))
    dvc("init", "-q")
    assert train("good").returncode == 0

    for value, says in (("typo", "train is typo"), ("crash", "KeyError"), ("stopped", "with 75")):
        done = train(value)
        assert done.returncode
        assert says in done.stderr, done.stderr
        for made in ("checkpoints/weights", "train.json"):
            assert (repository / made).read_text() == "good", done.stdout + done.stderr

    assert "didn't change" in train("good").stdout
    assert train("better").returncode == 0
    assert "is cached" in train("good").stdout
    assert (repository / "checkpoints/weights").read_text() == "good"
