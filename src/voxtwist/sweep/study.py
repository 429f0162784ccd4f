"""The study: where it is kept, what makes it another one, and who chooses the next settings."""

import time
import warnings
from pathlib import Path

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, QMCSampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.exc import IntegrityError, ProgrammingError

import voxtwist
from voxtwist.errors import VoxtwistError
from voxtwist.params import Sweep
from voxtwist.sweep.space import Space
from voxtwist.training.state import OF_THIS_PROCESS, code_fingerprint, fingerprint

_TRIES = 10  # seconds for a database's tables

# Names of goals, plots and the search in several dimensions: in Optuna for years, and pinned.
warnings.filterwarnings("ignore", category=ExperimentalWarning)


def study_name(space: Space, hashes: dict[str, str]) -> str:
    """The same for the same study: its search, data, start weights, other settings and code.

    `sweep.trials` has no part in it, and neither has what the searched settings are at present:
    more trials, and a best one that has become the default, are the same study.

    Args:
        hashes: DVC's, of the data and weights.
    """
    params = space.params
    searched = {name.split(".")[1] for name in space.distributions if name.startswith("train.")}
    twisted = {name.split(".")[1] for name in space.distributions if name.startswith("twist.")}
    code = Path(voxtwist.__file__).parent
    key = fingerprint(
        {
            "sweep": params.sweep.model_dump(exclude={"trials"}),
            "train": params.train.model_dump(exclude=OF_THIS_PROCESS | searched),
            "twist": params.twist.model_dump(exclude=twisted),
            "seed": params.seed,
            "data": hashes,
            "code": [code_fingerprint(code / folder) for folder in ("training", "model")],
        }
    )
    return f"sweep-{key}"


def open_storage(location: str | Path) -> BaseStorage:
    """A journal file, made if missing, or a database by its URL (`postgresql://...`).

    Raises:
        VoxtwistError: the database cannot be opened.
    """
    if "://" not in str(location):
        Path(location).parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(str(location)))
    try:
        return _database(str(location))
    except Exception as error:  # any error of that database's driver
        reason = str(error).splitlines()[0]
        raise VoxtwistError(f"the study's storage {location} cannot be opened: {reason}") from None


def _database(url: str) -> RDBStorage:
    # The driver that is installed; SQLAlchemy's own choice for the bare name is psycopg 3.
    url = url.replace("postgresql://", "postgresql+psycopg2://")
    for _ in range(_TRIES - 1):
        try:
            return RDBStorage(url)
        except (IntegrityError, ProgrammingError):  # another machine is just making the tables
            time.sleep(1)
    return RDBStorage(url)


def open_study(storage: BaseStorage, name: str, settings: Sweep) -> optuna.Study:
    """The study of that name, made if missing."""
    goals = 2 if settings.pareto else 1
    study = optuna.create_study(
        study_name=name,
        storage=storage,
        directions=["minimize"] * goals,
        pruner=pruner_of(settings),
        load_if_exists=True,
    )
    names = [settings.objective, settings.retention]
    if study.metric_names is None:
        study.set_metric_names(names[:goals])
    return study


def sampler_of(settings: Sweep, begun: int) -> BaseSampler:
    """The sampler of the next trial.

    A sampler that starts with the same seed again repeats its first trials: each trial has its own.

    Args:
        begun: trials that have been started so far.
    """
    seed = settings.seed + begun
    if settings.sampler == "random":
        return RandomSampler(seed=seed)
    if settings.sampler == "qmc":
        # It keeps its place in the sequence in the study, so here the seed must stay.
        return QMCSampler(seed=settings.seed, scramble=True, warn_independent_sampling=False)
    return TPESampler(
        seed=seed,
        n_startup_trials=max(4, settings.trials // 4),
        multivariate=True,
        constant_liar=True,  # parallel workers keep away from each other's trials
    )


def pruner_of(settings: Sweep) -> BasePruner:
    """The pruner: stops a trial that falls behind the others at the same step."""
    if settings.pruner == "none" or settings.pareto:
        return NopPruner()
    if settings.pruner == "hyperband":
        return HyperbandPruner(min_resource=settings.eval_steps)
    return MedianPruner(n_startup_trials=max(4, settings.trials // 4))
