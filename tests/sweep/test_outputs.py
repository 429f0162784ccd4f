"""What counts in a study: text first."""

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from voxtwist.sweep.outputs import best_trial
from voxtwist.sweep.plots import pareto_front
from voxtwist.sweep.trial import ReportingRun

optuna.logging.set_verbosity(optuna.logging.WARNING)


def ended(objective, feasible):
    return create_trial(value=objective, user_attrs={"objective": objective, "feasible": feasible})


def test_a_trial_that_forgot_how_to_read_is_never_the_best():
    kept, worse, forgot = ended(3.0, True), ended(3.5, True), ended(1.0, False)
    pruned = create_trial(state=TrialState.PRUNED)
    assert best_trial([worse, forgot, kept, pruned]) is kept
    assert best_trial([forgot, pruned]) is None


def test_the_front_holds_what_nothing_else_beats_in_both():
    points = [(0.3, 1.0), (0.1, 3.0), (0.2, 3.5), (0.2, 2.0), (0.4, 1.0)]
    assert pareto_front(points) == [(0.1, 3.0), (0.2, 2.0), (0.3, 1.0)]
    assert pareto_front([]) == []


class Run:
    id = "run"

    def __init__(self):
        self.logged = []

    def log_metrics(self, metrics, step=0):
        self.logged.append((step, metrics))

    def keep_metrics(self):
        pass


def test_held_out_speech_is_reported_and_prunes_but_not_at_the_end():
    pruner = optuna.pruners.ThresholdPruner(upper=4.0)
    study = optuna.create_study(pruner=pruner)
    trial = study.ask()
    run = Run()
    reporting = ReportingRun(run, trial, last_step=6, prunable=True)
    reporting.log_metrics({"eval/loss_speech": 9.0}, 0)  # before training
    reporting.log_metrics({"train/loss_speech": 9.0}, 1)
    reporting.log_metrics({"eval/loss_speech": 3.0}, 2)
    with pytest.raises(optuna.TrialPruned, match="step 4"):
        reporting.log_metrics({"eval/loss_speech": 5.0}, 4)
    reporting.log_metrics({"eval/loss_speech": 6.0}, 6)
    assert study.trials[0].intermediate_values == {2: 3.0, 4: 5.0, 6: 6.0}
    assert len(run.logged) == 5
