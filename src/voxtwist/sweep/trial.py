"""One trial: a training by the pipeline's own loop, judged, and told to the study and to MLflow."""

import gc
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import torch
from accelerate.state import AcceleratorState
from optuna.artifacts import FileSystemArtifactStore, upload_artifact
from optuna.trial import TrialState

from voxtwist.device import best_device, choose_precision
from voxtwist.errors import VoxtwistError
from voxtwist.interrupt import TERMINATED, Stopped
from voxtwist.params import Params, Sweep, Train
from voxtwist.sweep.job import Job
from voxtwist.sweep.measure import Measured, Measurer
from voxtwist.sweep.runs import (
    FEASIBLE,
    PARENT,
    RETENTION,
    STATE,
    STOPPED,
    Tracker,
)
from voxtwist.sweep.slots import REASON, Heartbeat, put_back
from voxtwist.sweep.space import Space
from voxtwist.sweep.starts import Starts
from voxtwist.tracking.runs import Run, flatten
from voxtwist.training.checkpoints import NoCheckpoints
from voxtwist.training.train import Metrics, Trainer


@dataclass(frozen=True)
class Outcome:
    """How a trial ended: with values, or pruned or failed for a reason."""

    state: TrialState
    measured: Measured | None = None
    reason: str = ""


class _Failed(Exception):
    """Ends the run of a failed trial."""


class Trials:
    """Runs the trials of one worker, with everything that no trial changes made once."""

    def __init__(self, job: Job, study: optuna.Study) -> None:
        self.job, self.study = job, study
        self.space = Space(job.params)
        self.measurer = Measurer(job.params, job.paths, job.scratch)
        self.starts = Starts(
            job.params,
            Path(job.paths.start),
            Path(job.paths.base),
            Path(job.paths.splits) / "train.jsonl",
            job.scratch / "starts",
            keep=self.space.finite("twist"),
        )
        self.tracker = Tracker(job)
        device = torch.device(best_device())
        # Once, or trials of the same settings could differ by what a timing said.
        self.precision = choose_precision(job.params.train.precision, device)

    def run(self, trial: optuna.Trial) -> None:
        """Run a claimed trial to its end.

        A wrong setting or a loss that explodes is the trial's failure; any other error is the
        sweep's, and is raised. On SIGTERM the trial is put back.
        """
        params = self.space.apply(self.space.values(trial.params))
        trial.set_user_attr("params", self.space.values(trial.params))
        try:
            with self.tracker.run(trial, params, self.study.user_attrs[PARENT]) as run:
                with Heartbeat(trial):
                    outcome = self._outcome(trial, params, run)
                self._record(trial, run, outcome)
                if outcome.state == TrialState.FAIL:
                    raise _Failed  # so that the run's status says so
        except _Failed:
            pass
        except (KeyboardInterrupt, SystemExit):
            self.tracker.mark(trial, STOPPED)
            put_back(self.study, trial)
            raise
        self.study.tell(trial, self._values(outcome), outcome.state)
        gc.collect()  # the model, before the next one is loaded
        torch.cuda.empty_cache()
        AcceleratorState._reset_state(reset_partial_state=True)  # another precision is allowed

    def _values(self, outcome: Outcome) -> list[float] | None:
        if outcome.measured is None:
            return None
        both = [outcome.measured.objective, outcome.measured.retention]
        return both[: len(self.study.directions)]

    def _outcome(self, trial: optuna.Trial, params: Params, run: Run) -> Outcome:
        try:
            return Outcome(TrialState.COMPLETE, self._train(trial, params, run))
        except optuna.TrialPruned as pruned:
            return Outcome(TrialState.PRUNED, reason=str(pruned))
        except (VoxtwistError, torch.OutOfMemoryError) as error:
            return Outcome(TrialState.FAIL, reason=str(error).splitlines()[0])

    def _train(self, trial: optuna.Trial, params: Params, run: Run) -> Measured:
        settings = within_budget(params.train, params.sweep)
        if settings.precision == "auto":
            settings = settings.model_copy(update={"precision": self.precision})
        paths = self.job.paths
        with self.starts.of(params) as start:
            trainer = Trainer(
                start, paths.train, paths.eval, settings, params.seed, NoCheckpoints()
            )
        reporting = ReportingRun(run, trial, len(trainer.steps), not params.sweep.pareto)
        begun = time.perf_counter()
        try:
            result = trainer.run(reporting, self._before(params))
            self._keep_before(params, result["before"])
            nll, steps = result["last"][SPEECH.removeprefix("eval/")], result["steps"]
        except Stopped as stop:
            if stop.reason == TERMINATED:
                raise
            steps = stop.step
            nll = trainer.evaluate(run, steps)["loss_speech"]
        trial.set_user_attr("steps", steps)
        trial.set_user_attr("tokens", trainer.tokens)
        trial.set_user_attr("seconds", round(time.perf_counter() - begun, 1))
        return self.measurer.measure(trainer, nll, self._audio(trial))

    def _before(self, params: Params) -> Metrics | None:
        """The evaluation of the start, if a trial has already measured it."""
        return self.study.user_attrs.get(_before_key(params))

    def _keep_before(self, params: Params, metrics: Metrics) -> None:
        if self._before(params) is None:
            self.study.set_user_attr(_before_key(params), metrics)

    def _audio(self, trial: optuna.Trial) -> Path:
        return self.job.scratch / "audio" / str(trial.number)

    def _record(self, trial: optuna.Trial, run: Run, outcome: Outcome) -> None:
        """Write all but the values into trial and run."""
        tags = {STATE: outcome.state.name}
        if outcome.reason:
            trial.set_user_attr(REASON, outcome.reason)
            tags[REASON] = outcome.reason
        if outcome.measured:
            measured, sweep = outcome.measured, self.job.params.sweep
            change = measured.retention - self.study.user_attrs[RETENTION]
            excess = change - sweep.margin
            feasible = excess <= 0
            if not sweep.pareto:
                trial.set_constraint(sweep.retention, excess)
            attributes = {
                "objective": measured.objective,
                "retention": measured.retention,
                "retention_change": change,
            }
            for name, value in {**attributes, FEASIBLE: feasible}.items():
                trial.set_user_attr(name, value)
            run.log_metrics({f"sweep/{name}": value for name, value in attributes.items()})
            tags[FEASIBLE] = str(feasible).lower()
            self._keep_audio(trial, run)
        run.set_tags({f"optuna.{name}": value for name, value in tags.items()})

    def _keep_audio(self, trial: optuna.Trial, run: Run) -> None:
        folder = self._audio(trial)
        if not folder.exists():
            return
        run.log_artifacts(folder, "speech")
        store = FileSystemArtifactStore(self.job.artifacts)
        for file in sorted(folder.glob("*.flac"))[:6]:
            upload_artifact(artifact_store=store, file_path=str(file), study_or_trial=trial)


def _before_key(params: Params) -> str:
    """Two trials have the same start and evaluation if these are the same."""
    parts: dict[str, Any] = flatten({"twist": params.twist.model_dump()})
    parts |= {"restrict_speech": params.train.restrict_speech}
    parts |= {"speech_weight": params.train.speech_weight}
    return f"before {parts}"


def within_budget(settings: Train, sweep: Sweep) -> Train:
    """`train` cut down to the smallest of the budgets that `sweep` names, schedule included.

    `max_tokens` becomes steps of as many tokens as the settings take at once. `max_minutes` ends a
    training wherever it is: its learning rate has not come down by then.
    """
    limits = [settings.max_steps, sweep.max_steps]
    if sweep.max_tokens is not None:
        per_step = settings.step_tokens or settings.batch_tokens
        limits.append(max(1, round(sweep.max_tokens / per_step)))
    return settings.model_copy(
        update={
            "max_steps": min((limit for limit in limits if limit), default=None),
            "max_hours": sweep.max_minutes and sweep.max_minutes / 60,
            "eval_steps": sweep.eval_steps,
            "eval_samples": sweep.eval_samples,
        }
    )


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
