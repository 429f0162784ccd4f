"""Bytes by the hash under which DVC keeps them: in the work tree, its cache, or a remote."""

from pathlib import Path
from typing import Any

from voxtwist.errors import VoxtwistError
from voxtwist.tracking import hashes


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
    if place.exists() and hashes.md5(place) == digest:
        return place
    from dvc.exceptions import DvcException
    from dvc.fs import localfs
    from dvc.repo import Repo
    from dvc_data.hashfile import load
    from dvc_data.hashfile.checkout import checkout
    from dvc_data.hashfile.hash_info import HashInfo

    info = HashInfo("md5", digest)
    into.parent.mkdir(parents=True, exist_ok=True)
    try:
        with Repo(str(root)) as repo:
            cache = repo.cache.local
            if not _complete(cache, info):
                _fetch(repo, info)
            checkout(str(into), localfs, load(cache, info), cache, quiet=True)
    except (DvcException, FileNotFoundError) as error:
        raise VoxtwistError(
            f"{digest} is neither {place} nor in DVC's cache, and no remote has it "
            f"({str(error).splitlines()[0]}): run `dvc pull` where it was pushed from, or "
            "`dvc repro` at its commit"
        ) from error
    return into


def _complete(cache: Any, info: Any) -> bool:
    """Whether the cache holds the object and, of a directory, every file."""
    from dvc_data.hashfile import check, load
    from dvc_objects.errors import ObjectFormatError

    try:
        check(cache, load(cache, info))
    except (FileNotFoundError, ObjectFormatError):
        return False
    return True


def _fetch(repo: Any, info: Any) -> None:
    """From the remote into the cache: a directory's list, and then its files."""
    from dvc_data.hashfile import load
    from dvc_data.hashfile.tree import Tree

    repo.cloud.pull([info])
    found = load(repo.cache.local, info)
    if isinstance(found, Tree):
        repo.cloud.pull([file for _, _, file in found])
