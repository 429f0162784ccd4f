"""How the study watches a training: through the metrics that it logs."""

from collections.abc import Mapping

import optuna

from voxtwist.training.train import Run

SPEECH = "eval/loss_speech"


class ReportingRun:
    """A tracked run that reports the held-out NLL of speech to a trial.

    Raises `optuna.TrialPruned` out of the training when the pruner gives the trial up, but not at
    the last step, when nothing is saved by it.
    """

    def __init__(self, run: Run, trial: optuna.Trial, last_step: int, prunable: bool) -> None:
        self._run, self._trial = run, trial
        self._last_step, self._prunable = last_step, prunable
        self.id = run.id

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        self._run.log_metrics(metrics, step)
        if SPEECH not in metrics or step == 0 or not self._prunable:
            return
        self._trial.report(metrics[SPEECH], step)
        if step < self._last_step and self._trial.should_prune():
            raise optuna.TrialPruned(f"behind the other trials at step {step}")

    def keep_metrics(self) -> None:
        self._run.keep_metrics()
