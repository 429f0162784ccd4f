"""A registered model is trained again from its commit, data and settings."""

import json

import pytest
import yaml

from voxtwist.vcs import md5

pytestmark = pytest.mark.slow


@pytest.fixture
def original(trained):
    return trained.store.client.get_run(trained.report("train")["run_id"])


def recreate(trained, target: str, *options: str, check: bool = True) -> dict:
    done = trained.voxtwist("recreate", target, "--json", *options, check=check)
    return json.loads(done.stdout) | {"stderr": done.stderr, "code": done.returncode}


def test_a_version_is_recreated_bit_by_bit_as_a_run_that_says_so(trained, original, tmp_path):
    done = recreate(trained, "models:/voxtwist/1", "--into", str(tmp_path / "again"))

    assert done["verdict"] == "identical"
    assert done["checkpoint"] == [original.data.tags["md5.checkpoint"]] * 2
    assert (done["data"], done["environment"]) == ({}, {})
    new = trained.store.client.get_run(done["recreated"])
    assert new.info.run_id != original.info.run_id
    assert new.info.status == "FINISHED"
    assert new.data.tags["voxtwist.recreates"] == original.info.run_id
    assert new.data.tags["voxtwist.recreation"] == "identical"
    assert new.data.tags["git.commit"] == original.data.tags["git.commit"]
    # It was trained and not taken out of DVC's cache: there is a curve.
    curves = [
        [
            (row.step, row.value)
            for row in trained.store.client.get_metric_history(run, "train/loss")
        ]
        for run in (original.info.run_id, new.info.run_id)
    ]
    assert len(curves[0]) == trained.report("train")["steps"]
    assert curves[0] == curves[1]


def test_changes_that_were_not_committed_and_settings_come_back(trained, original, tmp_path):
    """The run of a dirty tree; then the same with a tolerance that its difference is beyond."""
    clone = trained.clone_with_data(tmp_path / "clone")
    code = clone.folder / "src/voxtwist/training/optimizer.py"
    code.write_text(code.read_text().replace("betas=(0.9, ", "betas=(0.5, "))
    assert clone.run("git", "diff", "--stat").stdout, "optimizer.py has no such betas any more"
    clone.change("train", learning_rate=5e-4)
    clone.run("dvc", "repro", "-q", "train")
    clone.run("git", "checkout", "-q", ".")
    run_id = clone.store.client.search_runs([clone.store.experiment_id])[0].info.run_id

    done = recreate(clone, run_id[:8])

    assert done["verdict"] == "identical"
    assert "not committed" in done["stderr"]
    assert done["checkpoint"][0] != original.data.tags["md5.checkpoint"]
    worktree = clone.folder / ".scratch/recreate" / run_id
    assert "betas=(0.5, " in (worktree / "src/voxtwist/training/optimizer.py").read_text()
    settings = yaml.safe_load((worktree / "params.yaml").read_text())
    assert settings["train"]["learning_rate"] == 5e-4


def test_from_raw_makes_the_splits_and_the_start_again(trained, original, tmp_path):
    done = recreate(trained, original.info.run_id, "--from-raw", "--into", str(tmp_path / "raw"))
    assert (done["verdict"], done["data"]) == ("identical", {})
    splits = tmp_path / "raw/data/splits"
    assert not splits.is_symlink()
    assert md5(splits) == original.data.tags["md5.splits"]
    assert (tmp_path / "raw/data/sft/all.jsonl").exists()
