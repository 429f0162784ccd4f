"""The folder of a checkpoint that a user names: a path, or a version of the model registry."""

from pathlib import Path

from voxtwist.errors import VoxtwistError
from voxtwist.vcs import md5

_CONFIG = "config.json"


def find_checkpoint(name: str, root: Path, experiment: str) -> Path:
    """The folder of `checkpoints/sft`, `models:/voxtwist@champion` or `models:/voxtwist/3`.

    Args:
        root: the project, whose MLflow store and DVC cache know the versions.

    Raises:
        VoxtwistError: nothing is there, or see `registered_checkpoint`.
    """
    if name.startswith("models:/"):
        return registered_checkpoint(name, root, experiment)
    folder = Path(name)
    if not (folder / _CONFIG).is_file():
        raise VoxtwistError(
            f"{folder} holds no checkpoint (config.json is missing): run `dvc repro` or `dvc pull`,"
            " or name another folder, or a version as models:/NAME@ALIAS or models:/NAME/NUMBER"
        )
    return folder


def registered_checkpoint(name: str, root: Path, experiment: str) -> Path:
    """The folder with the checkpoint of `models:/NAME@ALIAS` or `models:/NAME/NUMBER`.

    It is looked for by its hash among `checkpoints/`, then in DVC's cache and remote. What is not
    in a folder yet is put into `.scratch/checkpoints`.

    Raises:
        VoxtwistError: no such version, or its bytes cannot be had.
    """
    # MLflow and DVC take seconds to import: only who names a version waits for them.
    from voxtwist.tracking.objects import Objects
    from voxtwist.tracking.registry import find_version
    from voxtwist.tracking.store import home, open_store

    version = find_version(open_store(root, experiment), "", name)
    digest = version.tags.get("md5.checkpoint")
    if digest is None:
        raise VoxtwistError(f"{name} has no tag md5.checkpoint: it was not registered by Voxtwist")
    unpacked = home(root) / ".scratch" / "checkpoints" / digest
    if (unpacked / _CONFIG).is_file():
        return unpacked
    for config in root.glob(f"checkpoints/*/{_CONFIG}"):
        if md5(config.parent) == digest:
            return config.parent
    Objects(root).restore(digest, unpacked)
    return unpacked
