"""Does dvc.lock tell the truth, and is there room for the next run?"""

import shutil
from collections.abc import Iterator
from pathlib import Path

from mlflow.entities import Run

from voxtwist.errors import VoxtwistError
from voxtwist.tracking.doctor.finding import Finding
from voxtwist.vcs import stale_stages

STARTS = ("checkpoints/twist", "checkpoints/base")
# Disk that one training needs, in float32 checkpoints. In the project: the best and the last
# checkpoint, the best one so far, and two states (the old one goes when the new one is written)
# of weights and both moments of AdamW. In DVC's cache: copies of the two checkpoints.
IN_PROJECT, IN_CACHE = 2 + 1 + 2 * 3, 2


def lock(root: Path) -> Iterator[Finding]:
    """Stages that `dvc repro` would run, data that is only not here left out."""
    if not (root / "dvc.lock").exists():
        yield Finding("lock", "there is no dvc.lock yet", "`make repro` makes it", wrong=False)
        return
    try:
        waiting = stale_stages(root)
    except VoxtwistError as error:
        yield Finding("lock", str(error), "see `dvc status`")
        return
    if waiting:
        yield Finding(
            "lock",
            f"dvc.lock is older than code, settings or data: {', '.join(waiting)} would run again",
            "`dvc repro`; `dvc status` tells what has changed",
        )


def disk(root: Path, cache: Path) -> Iterator[Finding]:
    """Room for the checkpoints and states of one training, where they go."""
    folder = next((root / start for start in STARTS if (root / start).exists()), None)
    if folder is None:
        return
    checkpoint = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    needs = {root.resolve(): IN_PROJECT * checkpoint}
    cache = next(place for place in (cache, *cache.parents) if place.exists())
    if cache.stat().st_dev == root.stat().st_dev:
        needs[root.resolve()] += IN_CACHE * checkpoint
    else:
        needs[cache] = IN_CACHE * checkpoint
    for place, need in needs.items():
        free = shutil.disk_usage(place).free
        if free < need:
            yield Finding(
                "disk",
                f"{place} has {free / 1e9:.1f} GB left, a training writes up to {need / 1e9:.1f}",
                "free some: `dvc gc --workspace --all-commits` drops data that no commit names",
            )


def leftovers(root: Path, alive: list[Run]) -> Iterator[Finding]:
    """States of trainings that were not finished, and worktrees of `recreate`."""
    # A run's name ends in the first letters of the fingerprint that its state is kept under.
    in_use = tuple((run.info.run_name or "").rpartition(" ")[2] for run in alive)
    scratch = root / ".scratch"
    for folder in sorted((scratch / "train").glob("*/")):
        if in_use and folder.name.startswith(in_use):
            continue
        yield Finding(
            "leftover",
            f"{folder} holds the state of an unfinished training, {_size(folder):.2f} GB",
            "`dvc repro` with the same code, data and settings resumes it; else delete it",
            wrong=False,
        )
    for folder in sorted((scratch / "recreate").glob("*/")):
        yield Finding(
            "leftover",
            f"{folder} is the worktree of a recreation, {_size(folder):.2f} GB",
            f"`git worktree remove --force {folder}`",
            wrong=False,
        )


def _size(folder: Path) -> float:
    """In GB."""
    files = (file for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
    return sum(file.stat().st_size for file in files) / 1e9
