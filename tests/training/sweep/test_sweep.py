"""A sweep as a user runs it, and again: nothing is lost, nothing is done twice."""

import os
import re
import signal
import subprocess
from collections import Counter
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.slow


def test_a_study_is_nested_runs_a_table_and_the_best_settings_and_goes_on(sweep_project):
    sweep = sweep_project("study", trials=2)
    done = sweep.run()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

    [first, second] = sweep.table()
    # The first trial takes the settings as they are.
    assert float(first["train.learning_rate"]) == 0.01
    assert first["train.freeze"] == "none"
    best = min((first, second), key=lambda row: float(row["objective"]))
    settings = yaml.safe_load((sweep.folder / "sweep" / "best.yaml").read_text())
    assert settings == {
        "train": {
            "learning_rate": float(best["train.learning_rate"]),
            "freeze": best["train.freeze"],
        }
    }
    assert sweep.report()["best"]["objective"] == pytest.approx(float(best["objective"]), abs=1e-3)
    plots = {file.stem for file in (sweep.folder / "sweep" / "plots").iterdir()}
    assert plots == {"history", "importance", "parallel_coordinates", "slice", "pareto"}

    [parent] = sweep.runs("tags.`optuna.trials` = '2'")
    found = "tags.`optuna.state` = 'COMPLETE' and tags.`optuna.feasible` = 'true'"
    runs = {run.data.tags["optuna.trial"]: run for run in sweep.runs(found)}
    assert set(runs) == {"0", "1"}
    for row in (first, second):
        run = runs[row["trial"]]
        assert run.info.run_id == row["run_id"]
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.params["train.freeze"] == row["train.freeze"]
        assert float(run.data.params["train.learning_rate"]) == float(row["train.learning_rate"])
        # The weights of the last step are judged.
        history = sweep.client().get_metric_history(run.info.run_id, "eval/loss_speech")
        assert [metric.step for metric in history] == [0, 2, 4]
        assert history[-1].value == pytest.approx(float(row["objective"]), abs=1e-4)
    assert not list(sweep.folder.rglob("model.safetensors.new"))

    sweep.change(trials=3)
    assert sweep.run().returncode == 0
    assert sweep.table()[:2] == [first, second]
    assert len(sweep.table()) == 3
    assert len(sweep.runs("tags.`optuna.state` = 'COMPLETE'")) == 3
    again = sweep.run()
    assert "3 of 3 trials are done already" in again.stderr
    assert len(sweep.runs("tags.`optuna.trial` != ''")) == 3

    # What is kept by DVC is enough to go on from, in a clone without .scratch.
    for journal in (sweep.folder / ".scratch" / "sweep").glob("*/study.journal"):
        journal.unlink()
    assert "3 of 3 trials are done already" in sweep.run().stderr
    sweep.change(space={"train.learning_rate": {"log": [1e-3, 5e-2]}}, trials=1)
    assert sweep.run().returncode == 0
    assert len(sweep.table()) == 1


# A worker that is killed by itself in the middle of its first trial.
KILLED = """
import os, sys
from voxtwist.training.train import Trainer
take_step = Trainer.optimizer_step
def optimizer_step(self, step):
    metrics = take_step(self, step)
    marker = sys.argv[1] + ".killed"
    if step == 3:
        try:
            os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            pass
        else:
            os.kill(os.getpid(), 9)
    return metrics
Trainer.optimizer_step = optimizer_step
"""


def test_of_three_workers_one_killed_in_a_trial_loses_and_doubles_nothing(sweep_project):
    sweep = sweep_project("killed", trials=6)
    hook = sweep.folder / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'voxtwist.sweep.worker' in ' '.join(sys.orig_argv):\n"
        "    import importlib.abc, importlib.machinery\n"
    )
    assert KILLED


def states(sweep) -> Counter:
    return Counter(trial.state.name for trial in sweep.study().trials)
