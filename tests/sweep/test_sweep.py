"""A sweep as a user runs it, and again: nothing is lost, nothing is done twice."""

from collections import Counter

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
    assert not list((sweep.folder / ".scratch").rglob("*.safetensors"))

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


# Python runs this file when it starts; in the first worker that gets to step 3 it kills itself.
KILLS_A_WORKER = """
import os, pathlib, sys
if "voxtwist.sweep.worker" in sys.orig_argv:
    from voxtwist.training.train import Trainer
    take_step = Trainer.optimizer_step
    def optimizer_step(self, step):
        metrics = take_step(self, step)
        if step == 3:
            try:
                pathlib.Path("killed").touch(exist_ok=False)
            except FileExistsError:
                return metrics
            os.kill(os.getpid(), 9)
        return metrics
    Trainer.optimizer_step = optimizer_step
"""


def test_of_three_workers_one_killed_in_a_trial_loses_and_doubles_nothing(sweep_project):
    sweep = sweep_project("killed", trials=6)
    sweep.hook(KILLS_A_WORKER)
    done = sweep.run("--workers", "3")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert (sweep.folder / "killed").exists()

    trials = sweep.study().trials
    [dead] = [trial for trial in trials if "lost" in trial.user_attrs]
    ended = [trial for trial in trials if "lost" not in trial.user_attrs]
    assert sorted(trial.user_attrs["slot"] for trial in ended) == list(range(6))
    assert Counter(trial.state.name for trial in ended) == {"COMPLETE": 6}
    # Its slot was run again, with the same settings.
    [again] = [t for t in ended if t.user_attrs["slot"] == dead.user_attrs["slot"]]
    assert again.params == dead.params
    assert len({str(trial.params) for trial in ended}) == 6  # and no sampler repeated another
    assert {row["trial"] for row in sweep.table()} == {str(trial.number) for trial in ended}

    by_state = Counter(
        (run.data.tags["optuna.state"], run.info.status)
        for run in sweep.runs("tags.`optuna.trial` != ''")
    )
    assert by_state == {("COMPLETE", "FINISHED"): 6, ("DIED", "KILLED"): 1}


# The worker stops whoever started it, and waits until it is asked to stop in its turn.
STOPS_THE_SWEEP = """
            import signal, threading
            asked, handler = threading.Event(), signal.getsignal(15)
            signal.signal(15, lambda *given: (handler(*given), asked.set()))
            os.kill(os.getppid(), 15)
            asked.wait()
"""


def test_a_sweep_that_is_stopped_puts_its_trial_back(sweep_project):
    sweep = sweep_project("stopped", trials=2)
    sweep.hook(KILLS_A_WORKER.replace("os.kill(os.getpid(), 9)", STOPS_THE_SWEEP))
    done = sweep.run()
    assert done.returncode == 75, done.stderr[-2000:]
    assert not (sweep.folder / "sweep" / "trials.csv").exists()
    assert sweep.run().returncode == 0
    assert [row["state"] for row in sweep.table()] == ["COMPLETE", "COMPLETE"]
    states = Counter(run.info.status for run in sweep.runs("tags.`optuna.trial` != ''"))
    assert states == {"FINISHED": 2, "KILLED": 1}
    assert len(sweep.runs("tags.`optuna.state` = 'STOPPED'")) == 1


# A pruner that gives up on one learning rate.
PRUNES_THE_SMALLEST = """
import sys
if "voxtwist.sweep.worker" in sys.orig_argv:
    import optuna
    optuna.Trial.should_prune = lambda trial: trial.params["train.learning_rate"] == 1e-12
"""


def test_pruned_and_failed_trials_are_marked_and_say_why(sweep_project):
    space = {"train.learning_rate": [1e-2, 1e-12, 1e30]}
    sweep = sweep_project("told", space=space, trials=3, sampler="random", seed=0)
    sweep.hook(PRUNES_THE_SMALLEST)
    done = sweep.run()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    rows = {row["trial"]: row for row in sweep.table()}
    assert len(rows) == 3
    found = {float(row["train.learning_rate"]): row for row in rows.values()}
    assert {rate: row["state"] for rate, row in found.items()} == {
        1e-2: "COMPLETE",
        1e-12: "PRUNED",
        1e30: "FAIL",
    }
    assert found[1e-12]["reason"] == "behind the other trials at step 2"
    assert "gradient is" in found[1e30]["reason"]
    assert "fail (the gradient is" in done.stderr
    runs = sweep.runs("tags.`optuna.trial` != ''")
    assert {run.data.tags["optuna.trial"] for run in runs} == set(rows)
    for run in runs:
        row = rows[run.data.tags["optuna.trial"]]
        assert run.data.tags["optuna.state"] == row["state"]
        assert run.info.status == ("FAILED" if row["state"] == "FAIL" else "FINISHED")
    pruned = sweep.runs("tags.`optuna.state` = 'PRUNED'")[0]
    assert pruned.data.tags["optuna.reason"] == "behind the other trials at step 2"
    steps = [m.step for m in sweep.client().get_metric_history(pruned.info.run_id, "train/loss")]
    assert steps == [1, 2]


def test_a_sweep_in_which_all_forget_has_no_best(sweep_project):
    sweep = sweep_project("forgot", space={"train.learning_rate": [0.5]}, trials=1, margin=0.0)
    done = sweep.run()
    assert done.returncode == 1
    assert "no trial ended with its text_nll within 0.0" in done.stderr
    [row] = sweep.table()
    assert row["feasible"] == "False"
    assert float(row["retention_change"]) > 0
    assert not (sweep.folder / "sweep" / "best.yaml").exists()
    [run] = sweep.runs("tags.`optuna.feasible` = 'false'")
    change = run.data.metrics["sweep/retention_change"]
    assert change == pytest.approx(float(row["retention_change"]), abs=1e-4)


def test_two_goals_and_a_start_for_each_twist(sweep_project):
    sweep = sweep_project(
        "pareto",
        space={"twist.init": ["mean+std", "normal"], "twist.noise": {"range": [0.5, 1.5]}},
        trials=3,
        pareto=True,
        margin=0.0001,
    )
    done = sweep.run()
    assert done.returncode in (0, 1), done.stderr[-3000:]
    study = sweep.study()
    assert len(study.directions) == 2
    assert study.metric_names == ["speech_nll", "text_nll"]
    for trial, row in zip(study.trials, sweep.table(), strict=True):
        assert trial.values == pytest.approx(
            [float(row["objective"]), float(row["retention"])], abs=1e-4
        )
        assert not trial.intermediate_values  # nothing can be pruned
    assert (sweep.folder / "sweep" / "plots" / "pareto.png").exists()
    # A start of a noise that no other trial will have is not kept.
    assert not list((sweep.folder / ".scratch").rglob("model.safetensors"))
