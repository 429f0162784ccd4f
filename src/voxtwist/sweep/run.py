"""The sweep on this machine: a resumable study, its workers, and their results."""

import logging
import time
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from voxtwist.errors import VoxtwistError
from voxtwist.interrupt import EX_TEMPFAIL, Terminated, sigterm_raises
from voxtwist.params import Params
from voxtwist.sweep.crew import POLL, Crew
from voxtwist.sweep.job import JOURNAL, Job, Outputs, Paths
from voxtwist.sweep.measure import TEXT_NLL, Measurer
from voxtwist.sweep.outputs import write_outputs
from voxtwist.sweep.runs import FEASIBLE, PARENT, RETENTION, data_hashes, parent_run
from voxtwist.sweep.slots import REASON, results
from voxtwist.sweep.space import Space
from voxtwist.sweep.study import open_storage, open_study, study_name
from voxtwist.tracking.store import home
from voxtwist.training.checkpoints import NoCheckpoints
from voxtwist.training.train import Trainer

log = logging.getLogger(__name__)


def run_sweep(
    params: Params,
    paths: Paths,
    outputs: Outputs,
    workers: int = 1,
    storage: str | None = None,
    join: bool = False,
) -> None:
    """Run the study that `params.sweep` describes, or what is missing of it.

    The current directory is the project. Finished trials of the same study are kept, those whose
    worker died are run again.

    Args:
        workers: processes on this machine.
        storage: a journal file that machines share, or the URL of a database; None: a journal in
            `.scratch`.
        join: only run trials, and leave the results to a machine that does not join.

    Raises:
        VoxtwistError: a mistake in the space, before anything starts; or no trial kept its text.
        SystemExit: with 75 on SIGTERM, after the workers have put their trials back.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = Space(params)
    job = make_job(space, paths, storage)
    job.scratch.mkdir(parents=True, exist_ok=True)
    if storage is None:
        restore_study(job, outputs.journal)
    study = open_study(open_storage(job.storage), job.study, params.sweep)
    if join:
        with sigterm_raises():
            _wait_for_head(study)
            _work(job, study, workers, head=False)
        return
    prepare(job, study)
    with parent_run(job, study) as run:
        _work(job, study, workers, head=True)
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


def restore_study(job: Job, kept: Path) -> None:
    """Take up the study that DVC has kept, if it is this one and .scratch does not have it."""
    if Path(job.storage).exists() or not kept.exists():
        return
    old = open_storage(kept)
    if job.study in optuna.get_all_study_names(old):
        optuna.copy_study(
            from_study_name=job.study, from_storage=old, to_storage=open_storage(job.storage)
        )


def prepare(job: Job, study: optuna.Study) -> None:
    """Measure the twist checkpoint, the baseline of all trials, unless measured before."""
    if RETENTION not in study.user_attrs:
        study.set_user_attr(RETENTION, _retention_before(job))


def _wait_for_head(study: optuna.Study) -> None:
    """Until the machine that writes the results has opened the study's run."""
    if PARENT not in study.user_attrs:
        log.warning("waiting for a machine that runs the sweep without --join")
    while PARENT not in study.user_attrs:
        time.sleep(POLL)


def _work(job: Job, study: optuna.Study, workers: int, head: bool) -> None:
    """Run trials here, and until none is left anywhere if this machine writes the results."""
    try:
        with Crew(job, workers) as crew:
            crew.wait(_Progress(study, job.params.sweep.trials), to_the_end=head)
    except Terminated:
        log.warning("the sweep was stopped: run the same command again to resume")
        raise SystemExit(EX_TEMPFAIL) from None


def _retention_before(job: Job) -> float:
    """What the pipeline's own twist checkpoint makes of text."""
    measurer = Measurer(job.params, job.paths, job.scratch)
    start = Path(job.paths.start)
    if job.params.sweep.retention != TEXT_NLL:
        return measurer.suite_error(start)
    settings = job.params.train.model_copy(update={"freeze": "none"})
    paths, seed = job.paths, job.params.seed
    trainer = Trainer(start, paths.train, paths.eval, settings, seed, NoCheckpoints())
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
