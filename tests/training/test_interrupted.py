"""A real training process that is killed or asked to stop goes on as if nothing had happened."""

import signal

import pytest

pytestmark = pytest.mark.slow


def test_kill_9_at_several_steps_changes_neither_weights_nor_metrics(project):
    whole, killed = project("whole"), project("killed")
    done = whole.train()
    assert done.returncode == 0, done.stderr[-2000:]
    # Before the first state, right behind one, and between two.
    for step in (2, 4, 8):
        assert killed.train_until(signal.SIGKILL, step).returncode == -signal.SIGKILL
    assert killed.train().returncode == 0
    assert killed.weights("last") == whole.weights("last")
    assert killed.weights("sft") == whole.weights("sft")
    for metric in ("train/loss", "eval/loss"):
        assert killed.history(metric) == whole.history(metric)
    steps = [step for step, _ in killed.history("train/loss")]
    assert steps == list(range(1, whole.report()["steps"] + 1))
    assert killed.report()["tokens"] == whole.report()["tokens"]
    assert len(killed.client().search_runs(["1"])) == 1
    for shown in ("text=", "speech=", "tokens=", "memory=", "step/s", "<"):
        assert shown in done.stderr
    assert not list((killed.folder / ".scratch").rglob("state.pt"))


def test_sigterm_saves_says_so_and_goes_on_in_the_same_run(project):
    whole, stopped = project("whole"), project("stopped")
    assert whole.train().returncode == 0
    done = stopped.train_until(signal.SIGTERM, 5)  # no state is due at step 5
    assert done.returncode == 75
    assert "stopped after step 5" in done.stderr
    assert "run the same command again" in done.stderr
    [run] = stopped.client().search_runs(["1"])
    assert run.info.status == "KILLED"
    stopped.change(max_hours=1e-9)  # how long a process may run is no part of what is trained
    done = stopped.train()
    assert done.returncode == 75
    assert "stopped after step 6" in done.stderr
    assert "train.max_hours" in done.stderr
    stopped.change(max_hours=None)
    assert stopped.train().returncode == 0
    assert stopped.weights() == whole.weights()
    [run] = stopped.client().search_runs(["1"])
    assert run.info.status == "FINISHED"
    assert stopped.history("train/loss") == whole.history("train/loss")


def test_changed_settings_start_afresh(project):
    changed = project("changed")
    assert changed.train_until(signal.SIGKILL, 8).returncode == -signal.SIGKILL
    changed.change(learning_rate=2e-2)
    assert changed.train().returncode == 0
    assert len(changed.client().search_runs(["1"])) == 2
    assert changed.history("train/loss")[0][0] == 1
