"""The sweep on this machine: a study that goes on where it was, workers, and what they found."""

import logging
from pathlib import Path

import optuna
from filelock import FileLock
from optuna.trial import FrozenTrial, TrialState

from voxtwist.errors import VoxtwistError
from voxtwist.params import Params
from voxtwist.sweep.crew import Crew
from voxtwist.sweep.job import JOURNAL, Job, Outputs, Paths
from voxtwist.sweep.measure import Measurer
from voxtwist.sweep.outputs import write_outputs
from voxtwist.sweep.retention import TEXT_NLL
from voxtwist.sweep.slots import REASON, results
from voxtwist.sweep.space import Space
from voxtwist.sweep.study import open_storage, open_study, study_name
from voxtwist.sweep.tracked import FEASIBLE, RETENTION, data_hashes, parent_run
from voxtwist.tracking.runs import Terminated
from voxtwist.tracking.store import home
from voxtwist.training.stop import EX_TEMPFAIL
from voxtwist.training.train import Trainer

log = logging.getLogger(__name__)


def run_sweep(
    params: Params,
    paths: Paths,
    outputs: Outputs,
    workers: int = 1,
    storage: str | None = None,
) -> None:
    """Run the study that `params.sweep` describes, or what is missing of it.

    The current directory is the project. Finished trials of the same study are kept, those whose
    worker died are run again.

    Args:
        workers: processes on this machine.
        storage: a journal file that machines share, or the URL of a database; None: a journal in
            `.scratch`.

    Raises:
        VoxtwistError: a mistake in the space, before anything starts; or no trial kept its text.
        SystemExit: with 75 on SIGTERM, after the workers have put their trials back.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = Space(params)
    job = make_job(space, paths, storage)
    if storage is None:
        restore(job, outputs.journal)
    study = prepare(job)
    with parent_run(job, study) as run:
        try:
            with Crew(job, workers) as crew:
                crew.wait(_Progress(study, params.sweep.trials))
        except Terminated:
            log.warning("the sweep was stopped: run the same command again to go on")
            raise SystemExit(EX_TEMPFAIL) from None
        best = write_outputs(study, space, job.artifacts, outputs)
        run.log_artifacts(outputs.folder, "sweep")
        if best is None:
            raise VoxtwistError(
                f"no trial ended with its {params.sweep.retention} within {params.sweep.margin} "
                f"of the twist checkpoint's: see {outputs.table}"
            )
        run.log_metrics({f"sweep/best_{name}": best.user_attrs[name] for name in _FIGURES})


_FIGURES = ("objective", "retention", "retention_change")


def make_job(space: Space, paths: Paths, storage: str | None) -> Job:
    """The job of a study on this machine."""
    name = study_name(space, data_hashes(space.params, paths, space.touches("twist")))
    scratch = home(Path()) / ".scratch" / "sweep" / name
    return Job(space.params, paths, name, storage or str(scratch / JOURNAL), scratch)


def restore(job: Job, kept: Path) -> None:
    """Take up the study that DVC has kept, if it is this one and .scratch does not have it."""
    if Path(job.storage).exists() or not kept.exists():
        return
    old = open_storage(kept)
    if job.study in optuna.get_all_study_names(old):
        optuna.copy_study(
            from_study_name=job.study, from_storage=old, to_storage=open_storage(job.storage)
        )


def prepare(job: Job) -> optuna.Study:
    """Open the study; the first time, measure the twist checkpoint, which all are compared with."""
    job.scratch.mkdir(parents=True, exist_ok=True)
    study = open_study(open_storage(job.storage), job.study, job.params.sweep)
    with FileLock(job.scratch / "reference.lock"):
        if RETENTION not in study.user_attrs:
            study.set_user_attr(RETENTION, _retention_before(job))
    return study


def _retention_before(job: Job) -> float:
    """What the pipeline's own twist checkpoint makes of text."""
    measurer = Measurer(job.params, job.paths, job.scratch)
    start = Path(job.paths.start)
    if job.params.sweep.retention != TEXT_NLL:
        return measurer.suite_error(start)
    settings = job.params.train.model_copy(update={"freeze": "none"})
    trainer = Trainer(start, job.paths.train, job.paths.eval, settings, job.params.seed, None)
    return measurer.retention(trainer)


class _Progress:
    """Says once of each trial how it ended."""

    def __init__(self, study: optuna.Study, trials: int) -> None:
        self._study, self._trials = study, trials
        self._said = set(results(study))
        if self._said:
            log.warning("%d of %d trials are done already", len(self._said), trials)

    def __call__(self) -> bool:
        """Whether there are trials left."""
        found = results(self._study)
        for slot in sorted(set(found) - self._said):
            self._said.add(slot)
            log.warning("%d of %d: %s", len(self._said), self._trials, _in_words(found[slot]))
        return len(found) < self._trials


def _in_words(trial: FrozenTrial) -> str:
    told = f"trial {trial.number} {trial.state.name.lower()}"
    settings = ", ".join(f"{n.split('.')[1]} {v}" for n, v in trial.user_attrs["params"].items())
    if trial.state != TrialState.COMPLETE:
        return f"{told} ({trial.user_attrs.get(REASON)}): {settings}"
    found = trial.user_attrs
    text = "" if found[FEASIBLE] else ", beyond the margin"
    return (
        f"{told}, objective {found['objective']:.3f}, "
        f"retention {found['retention_change']:+.3f}{text}: {settings}"
    )
