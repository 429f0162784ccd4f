"""Git and DVC: their commands, DVC's hashes, and whether dvc.lock is up to date."""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

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
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, encoding="utf-8")
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
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
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
        text=True,
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
    try:
        text = (root / "dvc.lock").read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    found: dict[str, set[str]] = {}
    for stage in yaml.safe_load(text)["stages"].values():
        for entry in [*stage.get("deps", []), *stage.get("outs", [])]:
            if "md5" in entry:
                found.setdefault(entry["path"], set()).add(entry["md5"])
    return found


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
    """The lock of the project's pipeline. Bytes that were not pulled do not make it stale.

    Raises:
        VoxtwistError: DVC refuses, for example outside a DVC project.
    """
    done = run_dvc(root, "repro", "--dry", "--allow-missing")
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        raise VoxtwistError(f"DVC cannot tell what has changed in {root.resolve()}: {reason[0]}")
    stale = re.findall(r"^Running stage '(.+)':", done.stdout, re.MULTILINE)
    return Lock(frozenset().union(*locked(root).values()), stale)
