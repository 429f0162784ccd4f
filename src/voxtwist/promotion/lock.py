"""Whether dvc.lock still describes the work tree, and which bytes it names."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voxtwist.errors import VoxtwistError
from voxtwist.vcs import locked

_NOT_THERE = "deleted"  # bytes that were not pulled do not make a lock stale


@dataclass(frozen=True)
class Lock:
    """Attributes:
    digests: of every dependency and output in dvc.lock.
    stale: stages that `dvc repro` would run again because something has changed.
    """

    digests: frozenset[str]
    stale: list[str]

    def names(self, digest: str) -> bool:
        return digest in self.digests


def read_lock(root: Path) -> Lock:
    """The lock of the project at `root`, by `dvc status`.

    Raises:
        VoxtwistError: DVC refuses, for example outside a DVC project.
    """
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "status", "--json"], cwd=root, capture_output=True, text=True
    )
    if done.returncode:
        raise VoxtwistError(f"`dvc status` fails in {root.resolve()}: {done.stderr.strip()}")
    status: dict[str, list[Any]] = json.loads(done.stdout or "{}")
    stale = sorted(stage for stage, changes in status.items() if any(map(_matters, changes)))
    return Lock(frozenset().union(*locked(root).values()), stale)


def _matters(change: Any) -> bool:
    """One entry of a stage: "changed command", or {"changed deps": {path: how}}."""
    if isinstance(change, str):
        return True
    return any(how != _NOT_THERE for entries in change.values() for how in entries.values())
