"""What is pushed to a remote comes back in a fresh clone, and nothing has to run again."""

import pytest

from voxtwist.tracking.objects import Objects
from voxtwist.vcs import md5

pytestmark = pytest.mark.slow


def test_push_clone_pull_and_nothing_to_do(trained, tmp_path):
    remote = tmp_path / "remote"
    pushed = trained.clone_with_data(tmp_path / "pushed")
    pushed.run("dvc", "remote", "add", "-d", "folder", str(remote))
    pushed.commit("a remote")
    pushed.run("dvc", "push", "-q")

    fresh = pushed.clone(tmp_path / "fresh")
    checkpoint = md5(trained.folder / "checkpoints/sft")
    assert Objects(fresh.folder).where([checkpoint]) == {checkpoint: "remote"}
    fresh.run("dvc", "pull", "-q", "--allow-missing")  # no sweep has run
    assert md5(fresh.folder / "checkpoints/sft") == checkpoint
    assert "up to date" in fresh.run("dvc", "repro").stdout
    assert fresh.run("git", "status", "--porcelain").stdout == ""


def test_objects_come_from_the_remote_by_hash(trained, tmp_path):
    remote = tmp_path / "remote"
    pushed = trained.clone_with_data(tmp_path / "pushed")
    pushed.run("dvc", "remote", "add", "-d", "folder", str(remote))
    pushed.commit("a remote")
    pushed.run("dvc", "push", "-q", "split", "data/raw/embedded.dvc")
    fresh = pushed.clone(tmp_path / "fresh")
    for path in ("data/splits", "data/splits/eval.jsonl"):
        digest = md5(trained.folder / path)
        Objects(fresh.folder).restore(digest, tmp_path / "restored" / path)
        assert md5(tmp_path / "restored" / path) == digest
