"""Machines that share a study through a database, here two on loopback."""

import importlib.util
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def find(program: str) -> str | None:
    """A program of PostgreSQL, which Debian keeps out of PATH."""
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))
    return str(places[-1]) if places else shutil.which(program)


@pytest.fixture
def postgres(tmp_path):
    """URL of a fresh database on a free port of loopback."""
    initdb, pg_ctl = find("initdb"), find("pg_ctl")
    if initdb is None or pg_ctl is None or importlib.util.find_spec("psycopg2") is None:
        pytest.skip("needs PostgreSQL and psycopg2")
    as_user: list[str] = []
    folder = tmp_path / "postgres"
    folder.mkdir()
    if Path("/root").owner() == "root" and Path.home() == Path("/root"):  # it refuses to be root
        shutil.chown(folder, "postgres")
        for parent in folder.parents[:4]:  # pytest's own, and a folder of the worker's
            parent.chmod(parent.stat().st_mode | 0o011)
        as_user = ["runuser", "-u", "postgres", "--"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = str(folder / "data")
    subprocess.run(
        [*as_user, initdb, "-D", data, "-U", "optuna", "--auth=trust"],
        check=True, capture_output=True, cwd=folder,
    )  # fmt: skip
    options = f"-h 127.0.0.1 -p {port} -k {folder} -c fsync=off"
    control = [*as_user, pg_ctl, "-D", data, "-w"]
    subprocess.run(
        [*control, "-o", options, "-l", str(folder / "log"), "start"], check=True, cwd=folder
    )
    yield f"postgresql://optuna@127.0.0.1:{port}/postgres"
    subprocess.run([*control, "-m", "immediate", "stop"], check=True, cwd=folder)


def test_two_machines_share_a_study_in_postgresql(sweep_project, postgres, tmp_path):
    sweep = sweep_project("first", trials=4, space={"train.learning_rate": [1e-2, 1e-3]})
    # The second one has a copy of the project, and so no lock or scratch folder in common.
    shutil.copytree(sweep.folder, tmp_path / "second", symlinks=True)
    environment = sweep.environment | {
        "MLFLOW_TRACKING_URI": f"sqlite:///{sweep.folder}/mlflow.db",
        "VOXTWIST_STORAGE": postgres,
    }
    machines = [
        subprocess.Popen(
            sweep.command("run", *options),
            cwd=folder,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for folder, options in ((sweep.folder, []), (tmp_path / "second", ["--join"]))
    ]
    try:
        for machine in machines:
            said = machine.communicate()[1]
            assert machine.returncode == 0, said[-3000:]
    finally:  # one that joins would wait for a first one that failed
        for machine in machines:
            machine.kill()
    assert not (tmp_path / "second" / "sweep").exists()
    rows = sweep.table()
    assert [row["state"] for row in rows] == ["COMPLETE"] * 4
    ended = [trial for trial in sweep.study().trials if "lost" not in trial.user_attrs]
    assert sorted(trial.user_attrs["slot"] for trial in ended) == [0, 1, 2, 3]
    [parent] = sweep.runs("tags.`optuna.trials` = '4'")
    children = sweep.runs("tags.`optuna.state` = 'COMPLETE'")
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert {run.info.run_id for run in children} == {row["run_id"] for row in rows}


def test_a_database_that_is_not_there_is_named(sweep_project):
    sweep = sweep_project("nowhere")
    done = sweep.run("--storage", "sqlite:////nowhere/study.db")
    assert done.returncode == 1
    assert "the study's storage sqlite:////nowhere/study.db cannot be opened" in done.stderr
    assert "Traceback" not in done.stderr
