"""A study and its trials in MLflow: a parent run, and below it a run for each trial."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from mlflow.exceptions import MlflowException
from optuna.trial import FrozenTrial

from voxtwist.params import Params
from voxtwist.sweep.job import Job, Paths
from voxtwist.tracking import lineage
from voxtwist.tracking.runs import Dataset, Run, training_run
from voxtwist.tracking.store import Store, open_store
from voxtwist.vcs import pipeline_md5

# Names of a study's and a trial's user attributes.
PARENT, RETENTION = "mlflow_run", "retention_before"
RUN_ID, FEASIBLE = "run_id", "feasible"
# Tags are the same behind "optuna.".
STATE = "state"
# The states of runs whose trials were run again: the worker died, or was asked to stop.
DIED, STOPPED = "DIED", "STOPPED"


class Tracker:
    """Opens the runs of one worker; where everything comes from is looked up once."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.store = open_store(Path(), job.params.tracking.experiment)
        files = {"start": job.paths.start, "train": job.paths.train, "eval": job.paths.eval}
        self.lineage = lineage.collect(Path(), {name: str(path) for name, path in files.items()})
        self.datasets = [
            Dataset("train", self.lineage.md5["train"], job.paths.train),
            Dataset("eval", self.lineage.md5["eval"], job.paths.eval, "evaluation"),
        ]

    @contextmanager
    def run(self, trial: optuna.Trial, params: Params, parent: str) -> Iterator[Run]:
        """The run of a trial: the same params and metrics as any training."""
        with training_run(
            self.store,
            f"{self.job.study[:12]} trial {trial.number}",
            params=params.model_dump(exclude={"sweep"}),
            lineage=self.lineage,
            datasets=self.datasets,
            parent=parent,
        ) as run:
            trial.set_user_attr(RUN_ID, run.id)
            own = {"study": self.job.study, "trial": str(trial.number), STATE: "RUNNING"}
            run.set_tags({f"optuna.{name}": value for name, value in own.items()})
            yield run

    def close_dead(self, trial: FrozenTrial) -> None:
        """Close the run of a trial whose worker died."""
        if RUN_ID in trial.user_attrs:
            self.mark(trial, DIED)
            self.store.client.set_terminated(trial.user_attrs[RUN_ID], "KILLED")

    def mark(self, trial: FrozenTrial | optuna.Trial, state: str) -> None:
        """Tag the run of a trial, if it has got that far."""
        if RUN_ID in trial.user_attrs:
            self.store.client.set_tag(trial.user_attrs[RUN_ID], f"optuna.{STATE}", state)


@contextmanager
def parent_run(job: Job, study: optuna.Study) -> Iterator[Run]:
    """The run of the study, the same one each time the study resumes."""
    store = open_store(Path(), job.params.tracking.experiment)
    paths = {"start": job.paths.start, "train": str(job.paths.train), "eval": str(job.paths.eval)}
    settings = job.params.model_dump(include={"preset", "seed", "sweep"})
    trials = settings["sweep"].pop("trials")  # grows, and a run's params cannot
    with training_run(
        store,
        f"sweep {job.params.preset} {job.study.removeprefix('sweep-')[:6]}",
        params=settings,
        lineage=lineage.collect(Path(), paths),
        run_id=_known(store, study.user_attrs.get(PARENT)),
    ) as run:
        run.set_tags({"optuna.study": job.study, "optuna.trials": str(trials)})
        study.set_user_attr(PARENT, run.id)
        yield run


def _known(store: Store, run_id: str | None) -> str | None:
    """The run, if it is in this store: a study can have been taken to another one."""
    if run_id is None:
        return None
    try:
        return store.client.get_run(run_id).info.run_id
    except MlflowException:
        return None


def data_hashes(params: Params, paths: Paths, twisted: bool) -> dict[str, str]:
    """DVC's hashes of what every trial of a study is made from.

    Args:
        twisted: trials make their own starts, from the base and the codec.
    """
    files = {"train": str(paths.train), "eval": str(paths.eval)}
    files |= {"base": paths.base, "codec": params.codec.path} if twisted else {"start": paths.start}
    return {name: pipeline_md5(Path(), path) for name, path in files.items()}
