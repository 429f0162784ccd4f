"""Runs and model versions by what users call them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from voxtwist.errors import VoxtwistError
from voxtwist.tracking.registry import find_version
from voxtwist.tracking.store import Store
from voxtwist.vcs import md5

SHORTEST_PREFIX = 4  # characters of a run id
MISSING = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND"}
TARGETS = "models:/NAME@ALIAS, models:/NAME/3, a run id, a DVC md5, or a data file or folder"


@dataclass(frozen=True)
class Model:
    """A run, and the version by which it was named."""

    run: Run
    version: ModelVersion | None = None


@dataclass(frozen=True)
class DataHash:
    """A file or directory by DVC's md5."""

    md5: str


def find(store: Store, target: str) -> Model | DataHash:
    """What `target` names: `models:/…`, a run id or its first letters, an md5, or a path.

    Raises:
        VoxtwistError: it names nothing here, or several runs.
    """
    if target.startswith("models:/"):
        version = find_version(store, "", target)
        return Model(run_of(store, version), version)
    if Path(target).exists():
        return DataHash(md5(Path(target)))
    runs = [run for run in all_runs(store) if run.info.run_id.startswith(target)]
    if len(runs) == 1 and len(target) >= SHORTEST_PREFIX:
        return Model(runs[0])
    if len(runs) > 1:
        raise VoxtwistError(f"{len(runs)} runs start with {target!r}: give more letters")
    if _is_hash(target):
        return DataHash(target)
    raise VoxtwistError(f"{target!r} is no run, hash or file here: give {TARGETS}")


def find_model(store: Store, target: str) -> Model:
    """Like `find`, of a run or version only.

    Raises:
        VoxtwistError: it names data, or nothing.
    """
    found = find(store, target)
    if isinstance(found, DataHash):
        raise VoxtwistError(f"{target!r} is data or unknown: name a model version or a run")
    return found


def run_of(store: Store, version: ModelVersion) -> Run:
    """The run that made a version.

    Raises:
        VoxtwistError: it is gone.
    """
    try:
        return store.client.get_run(str(version.run_id))
    except MlflowException as error:
        if error.error_code not in MISSING:
            raise
        raise VoxtwistError(
            f"run {version.run_id} of {version.name} version {version.version} is gone from "
            f"{store.uri}: `voxtwist doctor` lists what else does not resolve"
        ) from None


def all_runs(store: Store, condition: str = "") -> Iterator[Run]:
    """The runs of the project's experiment, the newest first."""
    token = None
    while True:
        page = store.client.search_runs([store.experiment_id], condition, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def all_versions(store: Store, condition: str = "") -> list[ModelVersion]:
    found: list[ModelVersion] = []
    token = None
    while True:
        page = store.client.search_model_versions(condition, page_token=token)
        found.extend(page)
        token = page.token
        if not token:
            return sorted(found, key=lambda version: (version.name, int(version.version)))


def aliases(client: MlflowClient, version: ModelVersion) -> list[str]:
    """`search_model_versions` leaves them out: the registered model knows."""
    named = client.get_registered_model(version.name).aliases
    return sorted(alias for alias, number in named.items() if int(number) == int(version.version))


def hashes_of(tags: dict[str, str]) -> dict[str, str]:
    """Hashes of the data that a run or version names: `{"raw": md5, …}`."""
    return {name[4:]: value for name, value in tags.items() if name.startswith("md5.")}


def _is_hash(text: str) -> bool:
    bare = text.removesuffix(".dir")
    return len(bare) == 32 and set(bare) <= set("0123456789abcdef")
