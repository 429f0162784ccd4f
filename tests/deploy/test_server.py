"""deploy/: a real PostgreSQL on loopback, MLflow in front of it, four writers, a kill, a move."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from mlflow import MlflowClient
from requests.adapters import HTTPAdapter
from sqlalchemy import create_engine, text
from urllib3.util import Retry

from voxtwist.tracking.lineage import Commit, Lineage
from voxtwist.tracking.registry import register_checkpoint
from voxtwist.tracking.runs import training_run
from voxtwist.tracking.store import open_store

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
USER, PASSWORD = "admin", "a password of 24 letters"
LINEAGE = Lineage(Commit("c0ffee", False, ""), None, None, {})

WRITER = """
import sys
from pathlib import Path
from voxtwist.tracking.lineage import Commit, Lineage
from voxtwist.tracking.runs import training_run
from voxtwist.tracking.store import open_store
root, name = Path(sys.argv[1]), sys.argv[2]
store = open_store(root, "together")
lineage = Lineage(Commit("c0ffee", False, ""), None, None, {})
with training_run(store, name, params={"name": name}, lineage=lineage) as run:
    for step in range(500):
        run.log_metrics({"train/loss": step + float(name)}, step)
    run.log_text(name, "lineage/name.txt")
"""


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Server:
    """deploy/server with an artifact folder of its own."""

    def __init__(self, database: str, folder: Path) -> None:
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.artifacts = folder / "artifacts"
        self.environment = {
            **os.environ, "DATABASE": database, "ARTIFACTS": str(self.artifacts),
            "PORT": str(self.port), "WORKERS": "2", "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }  # fmt: skip
        self.log = folder / "server.log"

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [ROOT / "deploy" / "server"], env=self.environment, cwd=self.log.parent,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        session = requests.Session()
        patient = Retry(total=None, connect=90, read=90, backoff_factor=0.5, backoff_max=2)
        session.mount("http://", HTTPAdapter(max_retries=patient))
        assert session.get(f"{self.uri}/health").status_code == 200, self.log.read_text()

    def end(self, how: signal.Signals) -> None:
        os.killpg(self.process.pid, how)
        self.process.wait()


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Address of a cluster made by deploy/postgres; its account must reach the folder."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    script = ROOT / "deploy" / "postgres"
    done = subprocess.run(
        [script, "start", folder / "cluster", str(free_port())], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    yield done.stdout.strip()
    subprocess.run([script, "stop", folder / "cluster"], check=True)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def server(cluster: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(cluster, tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.end(signal.SIGTERM)


@pytest.fixture
def client(server: Server, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", USER)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    return MlflowClient(server.uri)


def steps(client: MlflowClient, run_id: str, metric: str) -> list[int]:
    return sorted(row.step for row in client.get_metric_history(run_id, metric))


def test_only_users_and_named_hosts_are_let_in(server: Server) -> None:
    search = f"{server.uri}/api/2.0/mlflow/experiments/search?max_results=1"
    login = (USER, PASSWORD)
    assert requests.get(search, timeout=60).status_code == 401
    assert requests.get(search, auth=(USER, "guess"), timeout=60).status_code == 401
    assert requests.get(search, auth=login, timeout=60).status_code == 200
    elsewhere = {"Host": "evil.example"}
    assert requests.get(search, auth=login, headers=elsewhere, timeout=60).status_code == 403


def test_four_writers_at_once_lose_nothing(client: MlflowClient, tmp_path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(number)])
        for number in range(4)
    ]
    assert [writer.wait() for writer in writers] == [0] * 4
    experiment = client.get_experiment_by_name("together")
    runs = client.search_runs([experiment.experiment_id])
    assert sorted(run.data.params["name"] for run in runs) == ["0", "1", "2", "3"]
    for run in runs:
        assert run.info.status == "FINISHED"
        assert steps(client, run.info.run_id, "train/loss") == list(range(500))
        file = client.download_artifacts(run.info.run_id, "lineage/name.txt", str(tmp_path))
        assert Path(file).read_text() == run.data.params["name"]


def test_a_killed_server_costs_no_metric(server: Server, client, tmp_path: Path) -> None:
    store = open_store(tmp_path, "killed")
    with training_run(store, "patient", params={}, lineage=LINEAGE) as run:
        for step in range(100):
            run.log_metrics({"train/loss": 1.0}, step)
        server.end(signal.SIGKILL)
        for step in range(100, 200):
            run.log_metrics({"train/loss": 1.0}, step)
        run.keep_metrics()
        server.start()
        for step in range(200, 300):
            run.log_metrics({"train/loss": 1.0}, step)
    assert steps(client, run.id, "train/loss") == list(range(300))
    assert client.get_run(run.id).info.status == "FINISHED"


def test_a_project_s_own_store_moves_with_ids_versions_and_artifacts(
    cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tmp_path, "voxtwist")
    (tmp_path / "checkpoints" / "sft").mkdir(parents=True)
    (tmp_path / "checkpoints" / "sft" / "config.json").write_text("{}")
    with training_run(store, "mine", params={"train": {"epochs": 2}}, lineage=LINEAGE) as run:
        run.log_metrics({"train/loss": 1.5}, 7)
        run.log_text("hello", "speech/note.txt")
    report = tmp_path / "register.json"
    register_checkpoint(store, run.id, "voxtwist", tmp_path, "checkpoints/sft", report)
    store.client.set_registered_model_alias("voxtwist", "champion", "1")

    with create_engine(cluster, isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text("create database moved"))
    empty = cluster.rpartition("/")[0] + "/moved"
    server = Server(empty, tmp_path)
    migrate = [sys.executable, ROOT / "deploy" / "migrate.py", store.uri, empty, server.artifacts]
    done = subprocess.run(migrate, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    again = subprocess.run(migrate, capture_output=True, text=True)
    assert again.returncode == 1
    assert "has runs already" in again.stderr

    server.start()
    try:
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", USER)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
        moved = open_store(tmp_path, "voxtwist")
        found = moved.client.get_run(run.id)
        assert found.data.params == {"train.epochs": "2"}
        assert found.data.tags["git.commit"] == "c0ffee"
        assert steps(moved.client, run.id, "train/loss") == [7]
        assert moved.client.get_model_version_by_alias("voxtwist", "champion").run_id == run.id
        file = moved.client.download_artifacts(run.id, "speech/note.txt")
        assert Path(file).read_text() == "hello"
        with training_run(moved, "next", params={}, lineage=LINEAGE) as more:
            more.log_text("new", "note.txt")
        assert (server.artifacts / moved.experiment_id).is_dir()
    finally:
        server.end(signal.SIGTERM)
