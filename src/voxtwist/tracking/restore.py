"""Bytes by the hash under which DVC keeps them: in the work tree, its cache, or a remote."""

from pathlib import Path

from voxtwist.tracking.objects import Objects
from voxtwist.vcs import md5


def restore(root: Path, digest: str, usual: Path, into: Path) -> Path:
    """Find the file or directory with a hash.

    Args:
        root: the project.
        digest: DVC's md5, `.dir` at its end for a directory.
        usual: where it lies unless the work tree has moved on, relative to `root` or absolute.
        into: path to write it to when it lies elsewhere; nothing may be there.

    Returns:
        `root / usual` when its bytes have that hash, else `into`.

    Raises:
        VoxtwistError: it is neither there nor in the cache nor in a DVC remote.
    """
    place = root / usual
    if place.exists() and md5(place) == digest:
        return place
    Objects(root).restore(digest, into)
    return into
