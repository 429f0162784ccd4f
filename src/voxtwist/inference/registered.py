"""The checkpoint of a registered version, from wherever its bytes are."""

from pathlib import Path

from voxtwist.errors import VoxtwistError
from voxtwist.tracking.objects import Objects
from voxtwist.tracking.registry import find_version
from voxtwist.tracking.store import home, open_store
from voxtwist.vcs import md5

_CONFIG = "config.json"


def registered_checkpoint(name: str, root: Path, experiment: str) -> Path:
    """The folder with the checkpoint of `models:/NAME@ALIAS` or `models:/NAME/NUMBER`.

    It is looked for by its hash among `checkpoints/`, then in DVC's cache and remote. What is not
    in a folder yet is put into `.scratch/checkpoints`.

    Raises:
        VoxtwistError: no such version, or its bytes cannot be had.
    """
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
