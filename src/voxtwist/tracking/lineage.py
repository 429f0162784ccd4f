"""Where a model comes from: code, data, settings, software and machine, as MLflow tags."""

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import psutil

from voxtwist.vcs import pipeline_md5, try_git

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
# What the pipeline and promotions write into the work tree does not make the code dirty: DVC names
# its outputs in .gitignore files.
WRITTEN_BY_US = (
    ":(exclude,glob)**/dvc.lock",
    ":(exclude,glob)**/.gitignore",
    ":(exclude)metrics",
    ":(exclude,glob)**/promotions.jsonl",
)
UNTRACKED_LIMIT = 1_000_000  # bytes; larger untracked files are not code and stay out of the diff


@dataclass(frozen=True)
class Commit:
    """The state of a git work tree.

    Attributes:
        sha: of HEAD; None outside git and before the first commit.
        dirty: whether anything tracked differs from HEAD or any file is neither tracked nor
            ignored; what the pipeline writes does not count.
        diff: patch from HEAD to the work tree, new files included; `git apply` takes it.
    """

    sha: str | None
    dirty: bool
    diff: str


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
    """The work tree at `root` against HEAD. Changes nothing in the repository."""
    sha = try_git(root, "rev-parse", "--verify", "HEAD")
    if sha is None:
        return Commit(None, False, "")
    everything = ["--", ":/", *WRITTEN_BY_US]
    changed = _diff(root, "HEAD", *everything)
    untracked = try_git(root, "ls-files", "-z", "--others", "--exclude-standard", *everything) or ""
    new = [name for name in untracked.split("\0") if name]
    for name in new:
        if (root / name).stat().st_size <= UNTRACKED_LIMIT:
            changed += _diff(root, "--no-index", "--", "/dev/null", name)
    return Commit(sha.strip(), bool(changed or new), changed)


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
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except FileNotFoundError:  # not Linux
        return platform.machine()
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _diff(root: Path, *arguments: str) -> str:
    """A patch, independent of the user's git settings."""
    return try_git(root, "diff", "--binary", "--no-color", "--no-ext-diff", *arguments) or ""
