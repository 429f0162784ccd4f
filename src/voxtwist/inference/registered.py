"""The checkpoint of a registered version, from wherever its bytes are."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from dvc.exceptions import NotDvcRepoError
from dvc.repo import Repo
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from voxtwist.errors import VoxtwistError
from voxtwist.tracking import hashes
from voxtwist.tracking.store import Store, home, open_store

_REGISTERED = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>.+)|/(?P<version>\d+))")
_CONFIG = "config.json"


def registered_checkpoint(name: str, root: Path, experiment: str) -> Path:
    """The folder with the checkpoint of `models:/NAME@ALIAS` or `models:/NAME/NUMBER`.

    It is looked for by its hash among `checkpoints/` and in DVC's cache, then among the artifacts
    of its run. What is not in a folder yet is put into `.scratch/checkpoints`.

    Raises:
        VoxtwistError: no such version, or its bytes are not on this machine.
    """
    store = open_store(root, experiment)
    version = _version(name, store)
    digest = version.tags.get("md5.checkpoint")
    if digest is None:
        raise VoxtwistError(f"{name} has no tag md5.checkpoint: it was not registered by Voxtwist")
    unpacked = home(root) / ".scratch" / "checkpoints" / digest
    if (unpacked / _CONFIG).is_file():
        return unpacked
    for folder in _in_workspace(root, digest):
        return folder
    if _from_dvc_cache(root, digest, unpacked) or _from_run(store, version, unpacked):
        return unpacked
    commit = version.tags.get("git.commit", "its commit")
    raise VoxtwistError(
        f"{name} is version {version.version}, whose checkpoint {digest} is not on this machine: "
        f"fetch it where dvc.lock names it, by `git checkout {commit}` and `dvc pull "
        "checkpoints/sft`"
    )


def _version(name: str, store: Store) -> ModelVersion:
    match = _REGISTERED.fullmatch(name)
    if match is None:
        raise VoxtwistError(f"{name}: write models:/NAME@ALIAS or models:/NAME/NUMBER")
    model, alias, number = match["name"], match["alias"], match["version"]
    try:
        if alias:
            return store.client.get_model_version_by_alias(model, alias)
        return store.client.get_model_version(model, number)
    except MlflowException:
        raise VoxtwistError(f"{name} is not in the registry, which has {_known(store)}") from None


def _known(store: Store) -> str:
    found = [
        f"models:/{version.name}/{version.version}"
        for version in store.client.search_model_versions()
    ]
    found += [
        f"models:/{model.name}@{alias}"
        for model in store.client.search_registered_models()
        for alias in model.aliases
    ]
    return ", ".join(found) or "no versions yet"


def _in_workspace(root: Path, digest: str) -> Iterator[Path]:
    for config in sorted(root.glob(f"checkpoints/*/{_CONFIG}")):
        if hashes.md5(config.parent) == digest:
            yield config.parent


def _from_dvc_cache(root: Path, digest: str, folder: Path) -> bool:
    """Link the files of a directory hash out of DVC's cache; whether all are there."""
    try:
        cache = Repo(home(root)).cache.local
    except NotDvcRepoError:
        return False
    listing = Path(cache.oid_to_path(digest))
    if not listing.is_file():
        return False
    files = {
        entry["relpath"]: Path(cache.oid_to_path(entry["md5"]))
        for entry in json.loads(listing.read_text())
    }
    if not all(file.is_file() for file in files.values()):
        return False
    for name, file in files.items():
        link = folder / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(file.resolve())
    return True


def _from_run(store: Store, version: ModelVersion, folder: Path) -> bool:
    """Download a checkpoint whose weights were logged too; whether it is the right one."""
    run = str(version.run_id)
    logged = store.client.list_artifacts(run, "checkpoint")
    if not any(item.path.endswith(".safetensors") for item in logged):
        return False
    folder.parent.mkdir(parents=True, exist_ok=True)
    copy = Path(store.client.download_artifacts(run, "checkpoint", str(folder.parent)))
    (copy / "manifest.json").unlink(missing_ok=True)  # of registration, no part of the checkpoint
    if hashes.md5(copy) != version.tags["md5.checkpoint"]:
        shutil.rmtree(copy)
        return False
    copy.rename(folder)
    return True
