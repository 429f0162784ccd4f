"""DVC experiments of the real train stage: one store, and links both ways."""

import json

import pytest

pytestmark = pytest.mark.slow

CHANGES = ["-S", "train.learning_rate=3e-4", "-S", "train.freeze=text_embeddings"]


def experiments(project) -> dict[str, str]:
    """Run id by experiment, as `dvc exp show` has it."""
    [_, baseline] = json.loads(project.run("dvc", "exp", "show", "--json").stdout)
    found = {}
    for experiment in baseline["experiments"] or []:
        [revision] = experiment["revs"]
        found[experiment["name"]] = revision["data"]["metrics"]["metrics/train.json"]["data"][
            "run_id"
        ]
    return found


def test_in_the_workspace_in_a_copy_and_from_the_queue(trained, tmp_path):
    project = trained.clone_with_data(tmp_path / "clone")
    head = project.run("git", "rev-parse", "HEAD").stdout.strip()
    project.run("dvc", "exp", "run", "-q", "-n", "here", *CHANGES, "train")
    project.run("git", "checkout", "-q", ".")
    project.run(
        "dvc", "exp", "run", "-q", "--temp", "-n", "copy", *CHANGES, "-S", "seed=1", "train"
    )
    project.run(
        "dvc", "exp", "run", "-q", "--queue", "-n", "later", *CHANGES, "-S", "seed=2", "train"
    )
    project.run("dvc", "exp", "run", "-q", "--run-all")

    found = experiments(project)
    assert found.keys() == {"here", "copy", "later"}
    client = project.store.client
    runs = {name: client.get_run(run_id) for name, run_id in found.items()}
    assert len({run.info.run_id for run in runs.values()}) == 3
    for name, run in runs.items():
        assert run.info.status == "FINISHED"
        assert run.data.tags["dvc.experiment"] == name
        assert run.data.tags["git.commit"] == head
        assert run.data.params["train.learning_rate"] == "0.0003"
        assert run.data.params["train.freeze"] == "text_embeddings"
        assert run.info.run_name.startswith("embedded text_embeddings lr3e-4")
    assert [runs[name].data.params["seed"] for name in found].count("42") == 1
    again = json.loads(project.voxtwist("recreate", found["copy"], "--json").stdout)
    assert again["verdict"] == "identical"
