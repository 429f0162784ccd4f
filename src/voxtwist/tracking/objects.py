"""Data by hash: where DVC keeps it, what is in it, and how it comes back."""

import logging
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from dvc.config import RemoteConfigError
from dvc.exceptions import DvcException, NotDvcRepoError
from dvc.fs import localfs
from dvc.repo import Repo
from dvc_data.hashfile import load
from dvc_data.hashfile.checkout import checkout
from dvc_data.hashfile.db import HashFileDB
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.tree import Tree

from voxtwist.errors import VoxtwistError
from voxtwist.vcs import locked, md5

logging.getLogger("dvc").setLevel(logging.ERROR)


class Objects:
    """The objects of a DVC project: its cache, its default remote and its work tree."""

    def __init__(self, root: Path) -> None:
        """
        Raises:
            VoxtwistError: `root` is no DVC project, or its configuration is broken.
        """
        try:
            self._repo = Repo(str(root))
        except NotDvcRepoError:
            raise VoxtwistError(f"{root} is no DVC project: run from its root") from None
        except DvcException as error:
            raise VoxtwistError(f"DVC cannot open {root}: {error}") from None
        self._root = root

    @property
    def cache_folder(self) -> Path:
        return Path(self._repo.cache.local_cache_dir)

    def files(self, digest: str) -> dict[str, str]:
        """Hash by relative path, of a directory whose listing is in the cache, else {}."""
        if not digest.endswith(".dir") or not self._cache.exists(digest):
            return {}
        return {"/".join(parts): info.value for parts, _, info in _tree(self._cache, digest)}

    def where(self, digests: Iterable[str]) -> dict[str, str]:
        """`cache`, `remote` or `work tree` by hash; a hash that is found nowhere is left out.

        A directory counts when all its files are there. The work tree is what dvc.lock says of it.
        """
        asked = set(digests)
        found = {digest: "cache" for digest in asked if self._complete(self._cache, digest)}
        if self._remote is not None and asked - found.keys():
            there = {d for d in asked - found.keys() if self._complete(self._remote, d)}
            found |= dict.fromkeys(there, "remote")
        for path, known in locked(self._root).items():
            if (self._root / path).exists():
                found |= dict.fromkeys((known & asked) - found.keys(), "work tree")
        return found

    def restore(self, digest: str, path: Path) -> None:
        """Check a file or directory out to `path`, from the cache or else the remote.

        Raises:
            VoxtwistError: neither has it.
        """
        info = HashInfo("md5", digest)
        if not self._complete(self._cache, digest) and self._remote is not None:
            self._repo.cloud.pull([info])
            if self.files(digest):  # that was only the listing
                self._repo.cloud.pull([child for _, _, child in _tree(self._cache, digest)])
        if not self._complete(self._cache, digest):
            raise VoxtwistError(
                f"{digest} ({path.name}) is neither in DVC's cache {self.cache_folder} nor in a "
                "remote: fetch it with `dvc fetch --all-commits`, or where it was made, push it "
                "with `dvc push`"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        # DVC tries links in the path's parent, which a relative path may not have.
        checkout(str(path.absolute()), localfs, load(self._cache, info), self._cache, force=True)

    @property
    def _cache(self) -> HashFileDB:
        return self._repo.cache.local

    @cached_property
    def _remote(self) -> HashFileDB | None:
        """The default remote, None where there is none; one with versions has no hashes."""
        try:
            return self._repo.cloud.get_remote_odb()
        except RemoteConfigError:  # NoRemoteError is one
            return None

    def _complete(self, store: HashFileDB, digest: str) -> bool:
        if not store.exists(digest):
            return False
        if not digest.endswith(".dir"):
            return True
        children = {info.value for _, _, info in _tree(store, digest)}
        return children <= set(store.list_oids_exists(children))


def _tree(store: HashFileDB, digest: str) -> Tree:
    return Tree.load(store, HashInfo("md5", digest))


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
