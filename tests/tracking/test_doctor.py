"""What the doctor finds in a store and its surroundings, and what --fix does about it."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow.entities import Metric

from voxtwist.tracking import runs
from voxtwist.tracking.doctor import pipeline_checks, run_checks, store_checks
from voxtwist.tracking.runs import training_run
from voxtwist.tracking.store import Store

HOUR = 3600


def started(store: Store, minutes_ago: float = 0, **tags: str) -> str:
    """A run that says RUNNING."""
    start = int((time.time() - 60 * minutes_ago) * 1000)
    run = store.client.create_run(store.experiment_id, start, tags, run_name="debug 1a2b3c")
    return run.info.run_id


def stale(store: Store) -> dict[str, str]:
    return {run.info.run_id: reason for run, reason in run_checks.running(store, 60)[1]}


def test_a_killed_process_on_this_host_leaves_a_stale_run(store: Store, tmp_path: Path):
    code = """
import os, signal, sys
from pathlib import Path
from voxtwist.tracking.lineage import Commit, Lineage
from voxtwist.tracking.runs import training_run
from voxtwist.tracking.store import open_store
lineage = Lineage(Commit(None, False, ""), None, None, {})
store = open_store(Path(sys.argv[1]), "voxtwist")
with training_run(store, "debug", params={}, lineage=lineage) as run:
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)])
    [run] = store.client.search_runs([store.experiment_id])
    assert run.info.status == "RUNNING"

    alive, found = run_checks.running(store, 60)
    assert alive == []
    [finding] = run_checks.stale_runs(store, found)
    assert finding.wrong
    assert f"its process {run.data.tags[runs.PROCESS]} is gone" in finding.problem
    mended = finding.mended()
    assert (mended.wrong, mended.done) == (False, "closed as KILLED")
    assert store.client.get_run(run.info.run_id).info.status == "KILLED"
    assert stale(store) == {}


def test_a_living_training_is_left_alone(store: Store, lineage):
    with training_run(store, "debug", params={}, lineage=lineage) as run:
        alive, found = run_checks.running(store, silent_minutes=0)
    assert [one.info.run_id for one in alive] == [run.id]
    assert found == []


def test_another_process_of_the_same_number_is_no_sign_of_life(store: Store):
    tags = runs.process_tags() | {runs.STARTED: str(time.time() - HOUR)}
    run_id = started(store, **tags)
    assert stale(store) == {run_id: f"its process {os.getpid()} is gone"}


def test_runs_of_other_hosts_are_told_by_their_silence(store: Store):
    elsewhere = {runs.HOST: "another", runs.PROCESS: "1", runs.STARTED: "0"}
    silent, speaking, young, parent = (
        started(store, minutes, **elsewhere) for minutes in (90, 90, 5, 90)
    )
    child = started(store, 90, **elsewhere, **{"mlflow.parentRunId": parent})
    now = int(time.time() * 1000)
    for run_id, minutes in ((silent, 80), (speaking, 2), (child, 2)):
        metric = Metric("system/cpu_utilization_percentage", 1.0, now - 60_000 * minutes, 0)
        store.client.log_batch(run_id, [metric])
    found = stale(store)
    assert found == {silent: "no metric for 80 minutes"}
    assert {speaking, young, parent, child}.isdisjoint(found)


def test_metrics_left_behind_are_sent_but_not_those_of_a_living_run(store: Store):
    dead, living = started(store), started(store)
    store.client.set_terminated(dead, "KILLED")
    store.spool.mkdir(parents=True)
    for run_id in (dead, living):
        (store.spool / f"{run_id}.json").write_text(json.dumps([["loss", 1.5, 1000, 3]]))
    [finding] = run_checks.unsent_metrics(store, [store.client.get_run(living)])
    assert dead in finding.problem
    assert finding.mended().done == "sent"
    assert store.client.get_run(dead).data.metrics == {"loss": 1.5}
    assert [file.stem for file in store.spool.glob("*.json")] == [living]


def test_old_file_stores_are_moved_aside(store: Store, tmp_path: Path):
    (tmp_path / "mlruns/0").mkdir(parents=True)
    (tmp_path / "mlruns/0/meta.yaml").write_text("name: Default\n")
    (tmp_path / "mlruns/voxtwist/abc/artifacts").mkdir(parents=True)
    [finding] = store_checks.legacy_runs(tmp_path)
    finding.mended()
    assert (tmp_path / ".scratch/legacy-mlruns/0/meta.yaml").exists()
    assert (tmp_path / "mlruns/voxtwist/abc").exists()
    assert list(store_checks.legacy_runs(tmp_path)) == []


@pytest.mark.parametrize(
    ("revision", "problem", "fix"),
    [
        ("451aebb31d03", "an older MLflow (451aebb31d03", "mlflow db upgrade sqlite:///"),
        ("ffffffffffff", "a newer MLflow (ffffffffffff", "install that MLflow"),
    ],
)
def test_tables_of_another_mlflow(store: Store, tmp_path: Path, revision, problem, fix):
    assert list(store_checks.schema(tmp_path)) == []
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    [finding] = store_checks.schema(tmp_path)
    assert finding.wrong
    assert problem in finding.problem
    assert fix in finding.fix


def test_a_database_that_is_none_and_a_server_that_is_away(tmp_path: Path, monkeypatch):
    (tmp_path / "mlflow.db").write_text("no database at all, but long enough to be read as one")
    [finding] = store_checks.schema(tmp_path)
    assert "cannot be read" in finding.problem
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    opened, [finding] = store_checks.reachable(tmp_path, "voxtwist")
    assert opened is None
    assert "does not answer" in finding.problem


def test_looking_makes_no_store(tmp_path: Path):
    assert list(store_checks.schema(tmp_path)) == []
    opened, [finding] = store_checks.reachable(tmp_path, "voxtwist")
    assert (opened, finding.wrong) == (None, False)
    assert list(tmp_path.iterdir()) == []


def test_room_for_the_next_training(tmp_path: Path, monkeypatch):
    (tmp_path / "checkpoints/twist").mkdir(parents=True)
    (tmp_path / "checkpoints/twist/model.safetensors").write_bytes(b"\0" * 1000)
    usage = pipeline_checks.shutil.disk_usage(tmp_path)
    for free, found in ((11_000, 0), (10_999, 1)):
        monkeypatch.setattr(
            pipeline_checks.shutil, "disk_usage", lambda _, free=free: usage._replace(free=free)
        )
        assert len(list(pipeline_checks.disk(tmp_path, tmp_path / ".dvc/cache"))) == found


def test_states_left_behind_are_named_unless_their_run_is_alive(store: Store, tmp_path: Path):
    (tmp_path / ".scratch/train/1a2b3c4d5e6f7a8b").mkdir(parents=True)
    (tmp_path / ".scratch/train/ffffff4d5e6f7a8b").mkdir(parents=True)
    run = store.client.get_run(started(store))  # named "… 1a2b3c"
    [finding] = pipeline_checks.leftovers(tmp_path, [run])
    assert "ffffff4d5e6f7a8b" in finding.problem
    assert not finding.wrong
    assert len(list(pipeline_checks.leftovers(tmp_path, []))) == 2
