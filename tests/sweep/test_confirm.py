"""The best trials again with several seeds, as DVC experiments in a real project."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from voxtwist.preset import apply_overlay
from voxtwist.sweep.confirm import compare_seeds

ROOT = Path(__file__).parents[2]
# Stages that "measure" what their settings say, and a little of their seed.
TRAIN = """
import json, pathlib, yaml
p = yaml.safe_load(open("params.yaml"))
loss = {"text_embeddings": 3.0, "lora:16": 2.0}[p["train"]["freeze"]] + 0.01 * (p["seed"] % 3)
loss += 0.001 if p["train"]["learning_rate"] == 0.0005 else 0
pathlib.Path("metrics").mkdir(exist_ok=True)
json.dump({"after": {"loss_speech": loss}}, open("metrics/train.json", "w"))
"""
TEXT = """
import json, pathlib, yaml
pathlib.Path("metrics").mkdir(exist_ok=True)
p = yaml.safe_load(open("params.yaml"))
json.dump({"trivia/acc": 0.5 + 0.01 * (p["seed"] % 3)}, open("metrics/text_sft.json", "w"))
"""
TABLE = """trial,state,train.learning_rate,train.freeze,objective,feasible
4,COMPLETE,0.0006,"lora:16",2.5,True
5,COMPLETE,0.0005,text_embeddings,2.9,True
6,COMPLETE,0.0007,text_embeddings,1.0,False
7,PRUNED,0.0008,text_embeddings,,
"""


def test_a_clear_win_is_told_from_one_inside_the_noise():
    baseline = [3.00, 3.02, 2.98]
    assert compare_seeds([2.90, 2.91, 2.89], baseline).verdict == "better"
    assert compare_seeds([2.99, 3.01, 2.97], baseline).verdict == "inside the noise"
    assert compare_seeds([3.10, 3.11, 3.09], baseline).verdict == "worse"
    same = compare_seeds([3.0, 3.0], [3.0, 3.0])
    assert (same.difference, same.verdict) == (0.0, "inside the noise")
    with pytest.raises(ValueError, match="two seeds"):
        compare_seeds([1.0], baseline)


def test_the_best_settings_go_into_params(tmp_path):
    file = shutil.copy(ROOT / "params.yaml", tmp_path)
    best = tmp_path / "best.yaml"
    best.write_text("# Trial 3\ntrain:\n  freeze: lora:16\n  learning_rate: 0.00123\n")
    rate = yaml.safe_load(Path(file).read_text())["train"]["learning_rate"]
    changes = apply_overlay(best, Path(file))
    assert changes == {
        "train.freeze": ("text_embeddings", "lora:16"),
        "train.learning_rate": (rate, 0.00123),
    }
    text = Path(file).read_text()
    assert "preset: embedded" in text
    assert "# none | text_embeddings" in text
    assert yaml.safe_load(text)["train"]["freeze"] == "lora:16"


@pytest.mark.slow
def test_confirm_trains_the_best_through_dvc_and_names_what_is_noise(tmp_path):
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "COLUMNS": "160",
    }

    def run(*command: str) -> str:
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    shutil.copy(ROOT / "params.yaml", tmp_path)
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "text.py").write_text(TEXT)
    stages = {
        "train": {
            "cmd": "python train.py",
            "params": ["seed", "train"],
            "metrics": [{"metrics/train.json": {"cache": False}}],
        },
        "evaluate_text_sft": {
            "cmd": "python text.py",
            "params": ["seed"],
            "metrics": [{"metrics/text_sft.json": {"cache": False}}],
        },
    }
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    run("git", "init", "-q")
    run("git", "config", "user.email", "a@b")
    run("git", "config", "user.name", "a")
    run("dvc", "init", "-q")
    run("dvc", "repro", "-q")
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "trials.csv").write_text(TABLE)
    (tmp_path / "metrics" / "sweep.json").write_text('{"study": "sweep-1a2b3c4d5e6f"}')
    run("git", "add", ".")
    run("git", "commit", "-qm", "swept")
    before = (tmp_path / "params.yaml").read_text()

    command = (sys.executable, "-m", "voxtwist", "sweep", "confirm", "--top", "3", "--seeds", "3")
    printed = run(*command)
    told = yaml.safe_load((tmp_path / "metrics" / "sweep_confirm.json").read_text())
    found = told["candidates"]
    assert list(found) == ["baseline", "trial4", "trial5"]  # 6 forgot, 7 was pruned
    assert found["baseline"]["speech_nll"]["values"] == pytest.approx([3.0, 3.01, 3.02])
    assert found["trial4"]["speech_nll"]["verdict"] == "better"
    assert found["trial4"]["speech_nll"]["mean"] == pytest.approx(2.01)
    assert found["trial4"]["trivia_error"]["verdict"] == "inside the noise"
    assert found["trial5"]["speech_nll"]["verdict"] == "inside the noise"
    assert "inside the noise" in printed
    assert (tmp_path / "params.yaml").read_text() == before
    experiments = run("dvc", "exp", "list", "--name-only").split()
    assert len(experiments) == 9
    assert "training" not in run(*command)  # what exists is not trained again
    assert sorted(run("dvc", "exp", "list", "--name-only").split()) == sorted(experiments)
