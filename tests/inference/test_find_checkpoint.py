"""A checkpoint by folder or by registered version, from wherever its bytes are."""

import shutil
import subprocess
from pathlib import Path

import pytest

from voxtwist.errors import VoxtwistError
from voxtwist.inference.checkpoint import find_checkpoint
from voxtwist.tracking.registry import register_checkpoint
from voxtwist.tracking.store import open_store
from voxtwist.vcs import md5


@pytest.fixture(scope="module")
def registered(tmp_path_factory) -> Path:
    """A DVC project whose registry has one version, the champion."""
    root = tmp_path_factory.mktemp("project")
    for command in (["git", "init", "-q"], ["dvc", "init", "-q"]):
        subprocess.run(command, cwd=root, check=True)
    sft = root / "checkpoints/sft"
    sft.mkdir(parents=True)
    (sft / "config.json").write_text('{"model_type": "llama"}')
    (sft / "model.safetensors").write_bytes(b"weights")
    store = open_store(root, "voxtwist")
    run = store.client.create_run(store.experiment_id).info.run_id
    store.client.set_tag(run, "git.commit", "c0ffee")
    register_checkpoint(
        store, run, "voxtwist", root, "checkpoints/sft", root / "metrics/register.json"
    )
    store.client.set_registered_model_alias("voxtwist", "champion", "1")
    return root


@pytest.fixture
def project(registered, tmp_path, monkeypatch) -> Path:
    """A copy that may be changed; its store stays where it was made."""
    root = tmp_path / "copy"
    shutil.copytree(registered, root)
    return root


def find(name: str, root: Path) -> Path:
    return find_checkpoint(name, root, "voxtwist")


def test_a_folder_is_itself(project):
    assert find(str(project / "checkpoints/sft"), project) == project / "checkpoints/sft"
    with pytest.raises(VoxtwistError, match="holds no checkpoint"):
        find(str(project), project)


@pytest.mark.parametrize("name", ["models:/voxtwist@champion", "models:/voxtwist/1"])
def test_a_version_is_found_in_the_workspace_by_its_hash(project, name):
    other = project / "checkpoints/a"
    other.mkdir()
    (other / "config.json").write_text("{}")
    assert find(name, project) == project / "checkpoints/sft"


def test_an_earlier_version_comes_out_of_the_cache_of_dvc(project):
    subprocess.run(["dvc", "add", "-q", "checkpoints/sft"], cwd=project, check=True)
    digest = md5(project / "checkpoints/sft")
    shutil.rmtree(project / "checkpoints/sft")
    for _ in range(2):  # the second time it is there already
        folder = find("models:/voxtwist/1", project)
        assert md5(folder) == digest
        assert (folder / "model.safetensors").read_bytes() == b"weights"


def test_what_is_not_here_is_answered_with_how_to_get_it(project):
    shutil.rmtree(project / "checkpoints/sft")
    with pytest.raises(VoxtwistError, match=r"neither in DVC's cache .* `dvc fetch --all-commits`"):
        find("models:/voxtwist@champion", project)


@pytest.mark.parametrize("name", ["models:/voxtwist@nobody", "models:/voxtwist/7", "models:/x/1"])
def test_an_unknown_version_is_answered_with_the_known_ones(project, name):
    with pytest.raises(VoxtwistError, match=r"its versions are (1|none yet)"):
        find(name, project)


def test_a_wrong_name_is_answered_with_the_right_form(project):
    with pytest.raises(VoxtwistError, match="write models:/NAME@ALIAS"):
        find("models:/voxtwist", project)
