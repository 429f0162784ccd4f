import json
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException, RestException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

from voxtwist.errors import VoxtwistError
from voxtwist.tracking import registry
from voxtwist.tracking.runs import training_run
from voxtwist.tracking.store import Store
from voxtwist.vcs import md5


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoints/sft"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "config.json").write_text('{"model_type": "llama"}')
    return folder


@pytest.fixture
def run_id(store: Store, lineage) -> str:
    with training_run(store, "debug none lr6e-4 1a2b3c", params={}, lineage=lineage) as run:
        return run.id


def register(store: Store, run_id: str, root: Path):
    return registry.register_checkpoint(
        store, run_id, "voxtwist", root, "checkpoints/sft", root / "metrics/register.json"
    )


def test_a_version_carries_the_run_s_lineage_and_no_weights(store, run_id, checkpoint, tmp_path):
    made = register(store, run_id, tmp_path)

    version = store.client.get_model_version("voxtwist", made.version)
    assert version.run_id == run_id
    assert version.tags["md5.checkpoint"] == md5(checkpoint)
    assert version.tags["md5.train_split"] == "0" * 32
    assert version.tags["git.commit"] == "c0ffee"
    assert version.description == "debug none lr6e-4 1a2b3c"
    assert store.client.get_run(run_id).data.tags["md5.checkpoint"] == md5(checkpoint)

    paths = {file.path for file in store.client.list_artifacts(run_id, "checkpoint")}
    assert paths == {"checkpoint/config.json", "checkpoint/manifest.json"}
    manifest = json.loads(
        Path(store.client.download_artifacts(run_id, "checkpoint/manifest.json")).read_text()
    )
    assert [(file["path"], file["bytes"]) for file in manifest["files"]] == [
        ("config.json", 23),
        ("model.safetensors", 7),
    ]
    assert json.loads((tmp_path / "metrics/register.json").read_text()) == {
        "model": "voxtwist",
        "version": 1,
        "run_id": run_id,
        "md5": md5(checkpoint),
    }


def test_only_a_new_checkpoint_makes_a_new_version(store, run_id, checkpoint, tmp_path):
    assert register(store, run_id, tmp_path).version == register(store, run_id, tmp_path).version
    (checkpoint / "model.safetensors").write_bytes(b"other weights")
    register(store, run_id, tmp_path)
    assert json.loads((tmp_path / "metrics/register.json").read_text())["version"] == 2


UNKNOWN = [
    MlflowException("API request failed with exception HTTPConnectionPool: Max retries exceeded"),
    RestException({"error_code": "TEMPORARILY_UNAVAILABLE", "message": "database is locked"}),
    MlflowException("error code 404 != 200. Response body: 'Not Found'", RESOURCE_DOES_NOT_EXIST),
]


@pytest.mark.parametrize("error", UNKNOWN, ids=["unreachable", "locked", "404 of a proxy"])
def test_only_a_definite_not_found_means_that_there_is_none(
    store, run_id, checkpoint, tmp_path, monkeypatch, error
):
    assert registry.alias_version(store, "voxtwist", "champion") is None  # not even a model
    made = register(store, run_id, tmp_path)
    assert registry.alias_version(store, "voxtwist", "champion") is None
    with pytest.raises(VoxtwistError, match=r"no version '7' in .*its versions are 1"):
        registry.find_version(store, "voxtwist", "7")
    store.client.set_registered_model_alias("voxtwist", "champion", made.version)
    assert registry.number(registry.alias_version(store, "voxtwist", "champion")) == "1"

    def fails(*args):
        raise error

    monkeypatch.setattr(type(store.client), "get_model_version_by_alias", fails)
    for ask in (registry.alias_version, registry.find_version):
        with pytest.raises(VoxtwistError, match="the model registry does not answer"):
            ask(store, "voxtwist", "champion")
