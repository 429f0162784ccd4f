"""Bytes by their hash, from a real DVC cache and a real remote."""

import shutil
from pathlib import Path

import pytest
from dvc.repo import Repo

from voxtwist.errors import VoxtwistError
from voxtwist.tracking.objects import restore
from voxtwist.vcs import md5

USUAL = Path("checkpoints/sft")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose checkpoint is in DVC's cache and in a remote."""
    root = tmp_path / "project"
    (root / USUAL / "parts").mkdir(parents=True)
    (root / USUAL / "config.json").write_text("{}")
    (root / USUAL / "parts" / "weights").write_bytes(b"weights")
    monkeypatch.chdir(root)
    with Repo.init(no_scm=True) as repo:
        with repo.config.edit("repo") as settings:
            settings["remote"] = {"store": {"url": str(tmp_path / "remote")}}
            settings["core"] |= {"remote": "store"}
        repo.add(str(USUAL))
        repo.push()
    return root


def contents(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def test_the_work_tree_is_used_when_it_has_the_bytes(project: Path) -> None:
    digest = md5(project / USUAL)
    assert restore(project, digest, USUAL, project / "elsewhere") == project / USUAL
    assert not (project / "elsewhere").exists()


@pytest.mark.parametrize("cached", [True, False])
def test_else_the_cache_and_else_the_remote(project: Path, cached: bool) -> None:
    digest, before = md5(project / USUAL), contents(project / USUAL)
    (project / USUAL / "parts" / "weights").unlink()
    (project / USUAL / "parts" / "weights").write_bytes(b"of a later training")
    if not cached:
        shutil.rmtree(project / ".dvc" / "cache")
    found = restore(project, digest, USUAL, project / ".scratch" / "sft")
    assert found == project / ".scratch" / "sft"
    assert contents(found) == before
    assert (project / USUAL / "parts" / "weights").read_bytes() == b"of a later training"


def test_bytes_that_are_nowhere_are_named(project: Path) -> None:
    digest = "0" * 32 + ".dir"
    with pytest.raises(VoxtwistError, match=f"{digest} .*is neither in DVC's cache"):
        restore(project, digest, USUAL, project / "elsewhere")
