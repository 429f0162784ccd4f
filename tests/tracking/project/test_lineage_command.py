"""`voxtwist lineage` answers from the model to its data, and from data to its models."""

import json

import pytest

from voxtwist.vcs import md5

pytestmark = pytest.mark.slow

SHARD = "data/raw/embedded/train-00001-of-00002.parquet"


def test_from_the_model_to_its_raw_shards(trained):
    trained.store.client.set_registered_model_alias("voxtwist", "champion", "1")
    run_id = trained.report("train")["run_id"]
    found = json.loads(trained.voxtwist("lineage", "models:/voxtwist@champion", "--json").stdout)

    assert found["run"]["id"] == run_id
    assert found["versions"] == [
        {"model": "voxtwist", "version": 1, "aliases": ["champion"], "run": run_id}
    ]
    data = found["data"]
    assert data["raw"]["files"]["train-00001-of-00002.parquet"] == md5(trained.folder / SHARD)
    assert {name: entry["md5"] for name, entry in data.items()} == {
        name: md5(trained.folder / path)
        for name, path in {
            "raw": "data/raw/embedded", "base": "checkpoints/base", "start": "checkpoints/twist",
            "train": "data/splits/train.jsonl", "eval": "data/splits/eval.jsonl",
            "splits": "data/splits", "codec": "data/codec/phones", "checkpoint": "checkpoints/sft",
        }.items()
    }  # fmt: skip
    assert {entry["where"] for entry in data.values()} == {"cache"}
    parent = trained.run("git", "rev-parse", "HEAD~1").stdout.strip()
    assert found["code"] == {"commit": parent, "dirty": False}
    assert found["settings"]["twist.init"] == "mean+std"
    assert found["software"]["torch"]

    shown = trained.voxtwist("lineage", run_id[:6]).stdout.splitlines()
    names = [line.lstrip("│├└─ ").partition(":")[0] for line in shown]
    assert names[0] == "voxtwist version 1 (@champion)"

    def depth(name: str) -> int:
        return shown[names.index(name)].index(name)

    assert depth("checkpoint") < depth("splits") < depth("raw data")
    assert depth("checkpoint") < depth("start") < depth("codec") == depth("base model")


@pytest.mark.parametrize("target", [SHARD, "data/splits", "data/raw/embedded"])
def test_from_data_to_every_run_and_version(trained, target):
    run_id = trained.report("train")["run_id"]
    role = "raw" if "raw" in target else "splits"
    by_path = json.loads(trained.voxtwist("lineage", target, "--json").stdout)
    by_hash = json.loads(trained.voxtwist("lineage", md5(trained.folder / target), "--json").stdout)
    assert by_path == by_hash
    assert run_id in {run["id"] for run in by_path["runs"]}
    assert all(run["used_as"] == [role] for run in by_path["runs"])
    assert [(v["version"], v["used_as"]) for v in by_path["versions"]] == [(1, [role])]


def test_what_is_not_known_is_said_in_one_line(trained):
    unused = trained.voxtwist("lineage", "f" * 32)
    assert "no run or version of this store used it" in unused.stdout
    for target, message in {
        "nothing": "'nothing' is no run, hash or file here",
        "models:/voxtwist/7": "has no version '7'",
    }.items():
        done = trained.voxtwist("lineage", target, check=False)
        assert done.returncode == 1
        assert message in done.stderr
        assert "Traceback" not in done.stderr
