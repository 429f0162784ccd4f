"""Git and DVC: their commands, DVC's hashes, and whether dvc.lock is up to date."""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from voxtwist.errors import VoxtwistError
from voxtwist.process import user_name


def try_git(root: Path, *arguments: str) -> str | None:
    """Standard output, or None when git refuses (code above 1: `diff --no-index` returns 1)."""
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=root,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
        )
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode <= 1 else None


def no_commit_reason(root: Path) -> str:
    """Why git names no commit at `root`, with the way out.

    Raises:
        VoxtwistError: git does not trust the folder, as it belongs to another user. Then it says
            nothing about commits and changes, and a model could never be traced.
    """
    command = ["git", "rev-parse", "--git-dir"]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, encoding="utf-8")
    except FileNotFoundError:
        return "git is not installed: install it"
    if "dubious ownership" in done.stderr:
        raise VoxtwistError(
            f"git does not trust {root.resolve()}, which belongs to another user: run "
            f"`git config --global --add safe.directory {root.resolve()}`"
        )
    if done.returncode:
        return f"{root.resolve()} is no git repository: `git init`, then commit, or clone it anew"
    return "there is no commit yet: `git add --all && git commit`"


def run_git(root: Path, *arguments: str) -> None:
    """Run git.

    Raises:
        VoxtwistError: it fails; with its reason.
    """
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, encoding="utf-8")
    if done.returncode:
        raise VoxtwistError(f"`git {' '.join(arguments)}` failed: {done.stderr.strip()}")


def knows_commit(root: Path, commit: str) -> bool:
    """Whether the repository at `root` has a commit."""
    command = ["git", "cat-file", "-e", f"{commit}^{{commit}}"]
    return subprocess.run(command, cwd=root, capture_output=True).returncode == 0


def git_user(root: Path) -> str:
    """Git's `Name <address>`, else the name of the account."""
    name, email = (
        (try_git(root, "config", key) or "").strip() for key in ("user.name", "user.email")
    )
    return f"{name} <{email}>" if name and email else name or user_name()


def run_dvc(
    root: Path, *arguments: str, environment: Mapping[str, str] | None = None, show: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run DVC in `root`, by the Python that runs us.

    Args:
        environment: of the command; None: this process's.
        show: print what it says on stderr, instead of returning it.
    """
    return subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=root,
        env=environment,
        stdout=sys.stderr if show else subprocess.PIPE,
        stderr=None if show else subprocess.PIPE,
        encoding="utf-8",
    )


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
    found: dict[str, set[str]] = {}
    for stage in _locked_stages(root).values():
        for entry in [*stage.get("deps", []), *stage.get("outs", [])]:
            if "md5" in entry:
                found.setdefault(entry["path"], set()).add(entry["md5"])
    return found


def locked_outputs(root: Path, stage: str) -> dict[str, str]:
    """The hashes of a stage's outputs by path, as dvc.lock names them; {} for an unknown stage."""
    outs = _locked_stages(root).get(stage, {}).get("outs", [])
    return {entry["path"]: entry["md5"] for entry in outs if "md5" in entry}


def _locked_stages(root: Path) -> dict[str, dict[str, Any]]:
    try:
        text = (root / "dvc.lock").read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    stages: dict[str, dict[str, Any]] = yaml.safe_load(text)["stages"]
    return stages


def maker(root: Path, digest: str) -> str | None:
    """The stage of dvc.lock that has an output with this hash, or None."""
    stages = _locked_stages(root)
    return next((name for name in stages if digest in locked_outputs(root, name).values()), None)


def stale_stages(root: Path) -> list[str]:
    """Stages of the root pipeline that `dvc repro` would run again because something has changed.

    Bytes that were not pulled change nothing. A sweep is a pipeline of its own.

    Raises:
        VoxtwistError: DVC refuses, for example outside a DVC project.
    """
    done = _asked(root, "repro", "--dry", "--allow-missing")
    return re.findall(r"^Running stage '(.+)':", done, re.MULTILINE)


def changed_since(root: Path, stage: str) -> list[str]:
    """What made a stage's outputs and is no longer as dvc.lock says: `src/x.py (train)`.

    Code, data and commands of the stage and of those that it depends on. Settings do not count:
    dvc.lock and the run have recorded them. Bytes that were not pulled change nothing.

    Raises:
        VoxtwistError: DVC refuses, for example outside a DVC project.
    """
    found = json.loads(_asked(root, "status", "--json", "--with-deps", stage))
    return [
        f"{path} ({name})"
        for name, changes in found.items()
        for change in changes
        for path in _changed_paths(change)
    ]


def _changed_paths(change: str | dict[str, dict[str, Any]]) -> list[str]:
    """Of one entry of `dvc status`: `changed command`, or states by path."""
    if isinstance(change, str):
        return [change.removeprefix("changed ")]
    return [
        path
        for paths in change.values()
        for path, state in paths.items()
        if isinstance(state, str) and state != "deleted"  # params have a mapping
    ]


def _asked(root: Path, *arguments: str) -> str:
    done = run_dvc(root, *arguments)
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        raise VoxtwistError(f"DVC cannot tell what has changed in {root.resolve()}: {reason[0]}")
    return done.stdout
