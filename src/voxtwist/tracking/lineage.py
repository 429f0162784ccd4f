"""Where a model comes from: code, data, settings, software and machine, as MLflow tags."""

import logging
import os
import platform
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from voxtwist.credentials import holds_secret, is_secret_name
from voxtwist.vcs import md5, no_commit_reason, pipeline_md5, try_git

log = logging.getLogger(__name__)

PACKAGES = (
    "voxtwist",
    "torch",
    "torchaudio",
    "transformers",
    "accelerate",
    "lm-eval",
    "mlflow",
    "dvc",
    "numpy",
)
# What the pipelines and promotions write into the work tree does not make the code dirty: DVC names
# its outputs in .gitignore files.
WRITTEN_BY_US = (
    ":(exclude,glob)**/dvc.lock",
    ":(exclude,glob)**/.gitignore",
    ":(exclude)metrics",
    ":(exclude)sweep",
    ":(exclude)pipelines/sweep/dvc.yaml",
    ":(exclude,glob)**/promotions.jsonl",
)
# Its settings are logged as the run's params, from which `recreate` brings them back.
RECORDED = ":(exclude)params.yaml"
# Of what git does not track, only this goes into the patch, file by file up to the limit: the code
# and the settings. Of other files the name, the size and the hash are logged.
CODE = re.compile(r"(src|pipelines)/.*|params\.yaml")
UNTRACKED_LIMIT = 1_000_000  # bytes; larger untracked files are not code
HASH_LIMIT = 10_000_000  # bytes; hashing untracked recordings could take hours
LISTED = 1000  # untracked files


@dataclass(frozen=True)
class Commit:
    """The state of a git work tree.

    Attributes:
        sha: of HEAD; None outside git and before the first commit.
        dirty: whether anything tracked differs from HEAD or any file is neither tracked nor
            ignored. What the pipeline writes does not count, nor do settings in params.yaml: the
            run records them, as it must for `dvc exp run -S`.
        diff: of a dirty tree, the patch from HEAD to the work tree, new code and params.yaml
            included; `git apply` takes it.
        left_out: changed files that are not in the patch: `path`, `size` in bytes and `md5`, which
            is None for large files and for what looks like a secret.
    """

    sha: str | None
    dirty: bool
    diff: str
    left_out: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Lineage:
    """All that is known about where a model comes from; `tags` is what MLflow gets."""

    commit: Commit
    stage: str | None
    experiment: str | None
    md5: dict[str, str]
    paths: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    hardware: dict[str, str] = field(default_factory=dict)

    def tags(self) -> dict[str, str]:
        """`git.*`, `dvc.*`, `md5.*`, `path.*`, `version.*` and `hardware.*`, all strings."""
        tags = {
            "git.commit": self.commit.sha or "none",
            "git.dirty": str(self.commit.dirty).lower(),
            "dvc.stage": self.stage,
            "dvc.experiment": self.experiment,
            # MLflow's own name for the commit: the UI shows it in the run's head.
            "mlflow.source.git.commit": self.commit.sha,
        }
        groups = {
            "md5": self.md5,
            "path": self.paths,
            "version": self.versions,
            "hardware": self.hardware,
        }
        for group, values in groups.items():
            tags |= {f"{group}.{name}": value for name, value in values.items()}
        return {name: value for name, value in tags.items() if value is not None}


def collect(root: Path, data: Mapping[str, str]) -> Lineage:
    """The lineage of this moment.

    Args:
        root: the work tree.
        data: what to hash, for example `{"raw": "data/raw/embedded"}`; paths relative to `root`.
    """
    return Lineage(
        commit=commit(root),
        stage=os.environ.get("DVC_STAGE"),
        experiment=os.environ.get("DVC_EXP_NAME"),
        md5={name: pipeline_md5(root, path) for name, path in data.items()},
        paths=dict(data),
        versions=versions(),
        hardware=hardware(),
    )


def commit(root: Path) -> Commit:
    """The work tree at `root` against HEAD. Changes nothing in the repository.

    Raises:
        VoxtwistError: git does not trust the folder.
    """
    sha = try_git(root, "rev-parse", "--verify", "HEAD")
    if sha is None:
        log.warning("the model's code cannot be traced: %s", no_commit_reason(root))
        return Commit(None, False, "")
    everything = ["--", ":/", *WRITTEN_BY_US]
    changed, left_out = _without_secrets(root, _diff(root, "HEAD", *everything))
    untracked = try_git(root, "ls-files", "-z", "--others", "--exclude-standard", *everything) or ""
    new = [name for name in untracked.split("\0") if name]
    for name in new:
        patch = _diff(root, "--no-index", "--", "/dev/null", name) if _is_code(root, name) else ""
        if patch and not holds_secret(patch):
            changed += patch
        else:
            left_out.append(name)
    records = tuple(_record(root, name) for name in left_out[:LISTED])
    dirty = bool(new or left_out or _diff(root, "HEAD", *everything, RECORDED))
    return Commit(sha.strip(), dirty, changed if dirty else "", records)


def _is_code(root: Path, name: str) -> bool:
    """Whether an untracked file is one that stages run, by its place, kind and size."""
    if not CODE.fullmatch(name) or is_secret_name(name):
        return False
    found = (root / name).lstat()
    return stat.S_ISREG(found.st_mode) and found.st_size <= UNTRACKED_LIMIT


def _without_secrets(root: Path, patch: str) -> tuple[str, list[str]]:
    """A patch without the files that look like secrets, and their names."""
    kept, left_out = [], []
    for part in re.split(r"^(?=diff --git )", patch, flags=re.MULTILINE):
        name = re.match(r'diff --git .* "?b/(.*?)"?\n', part)
        if name and (is_secret_name(name[1]) or holds_secret(part)):
            left_out.append(name[1])
        else:
            kept.append(part)
    if left_out:
        log.warning("not logged, for it looks like a secret: %s", ", ".join(left_out))
    return "".join(kept), left_out


def _record(root: Path, name: str) -> dict[str, Any]:
    """What is logged of a file that is not in the patch. An editor may have deleted it by now."""
    path = root / name
    try:
        found = path.lstat()
    except FileNotFoundError:
        return {"path": name, "size": None, "md5": None}
    is_file = stat.S_ISREG(found.st_mode)  # not a link, nor a repository inside this one
    hashed = is_file and found.st_size <= HASH_LIMIT and not is_secret_name(name)
    return {
        "path": name,
        "size": found.st_size if is_file else None,
        "md5": md5(path) if hashed else None,
    }


def versions() -> dict[str, str]:
    """Of Python and of the packages that shape a model; those not installed are left out."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def hardware() -> dict[str, str]:
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "gpu": ", ".join(gpus) or "none",
        "cpu": f"{os.cpu_count()} x {_cpu_model()}",
        "memory_gb": f"{psutil.virtual_memory().total / 1e9:.0f}",
        "host": platform.node(),
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:  # not Linux
        return platform.machine()
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _diff(root: Path, *arguments: str) -> str:
    """A patch, independent of the user's git settings."""
    return try_git(root, "diff", "--binary", "--no-color", "--no-ext-diff", *arguments) or ""
