"""DVC's md5 of files and directories: the names under which DVC keeps their bytes."""

import hashlib
import json
import os
from pathlib import Path

import yaml

from voxtwist.errors import VoxtwistError


def md5(path: Path) -> str:
    """Hash a file or directory as `dvc add` does; directories end in `.dir` (36 characters).

    A directory's hash is that of the JSON list of its files' relative paths and hashes.

    Raises:
        VoxtwistError: nothing is there.
    """
    if path.is_dir():
        files = sorted(
            (file.relative_to(path).as_posix(), file) for file in path.rglob("*") if file.is_file()
        )
        listing = [{"md5": md5(file), "relpath": name} for name, file in files]
        return hashlib.md5(json.dumps(listing, sort_keys=True).encode()).hexdigest() + ".dir"
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest()
    except FileNotFoundError:
        raise VoxtwistError(f"{path} is missing: run `dvc repro`, or `dvc pull`") from None


def pipeline_md5(root: Path, path: str) -> str:
    """The hash of a dependency or output of the pipeline, `path` relative to `root`.

    Inside a DVC stage it is read from dvc.lock, which DVC has just checked: raw data can be
    terabytes. The bytes are read elsewhere, where the lock may be stale, and when the lock names
    two hashes: that of a stage that is made anew, and the old one in a stage still to run.
    """
    found = locked(root).get(path, set()) if "DVC_STAGE" in os.environ else set()
    return next(iter(found)) if len(found) == 1 else md5(root / path)


def locked(root: Path) -> dict[str, set[str]]:
    """The hashes that dvc.lock names, by path: one each when nothing is waiting to be run."""
    try:
        stages = yaml.safe_load((root / "dvc.lock").read_text())["stages"].values()
    except FileNotFoundError:
        return {}
    found: dict[str, set[str]] = {}
    for stage in stages:
        for entry in [*stage.get("deps", []), *stage.get("outs", [])]:
            if "md5" in entry:
                found.setdefault(entry["path"], set()).add(entry["md5"])
    return found
