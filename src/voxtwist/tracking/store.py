"""The MLflow store of a project: a local database and artifact folder, or a shared server."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path

# MLflow reads it when it is imported; the word, "1" would not do.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# One bar for every file that is copied says nothing.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import requests
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Experiment, LifecycleStage
from mlflow.exceptions import MlflowException

from voxtwist.errors import VoxtwistError
from voxtwist.tracking.moved import artifact_folder, take_along

logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
logging.getLogger("alembic").setLevel(logging.WARNING)

# Without it the UI takes the experiment for one of prompts and traces.
MODEL_TRAINING = {"mlflow.experimentKind": "custom_model_development"}


@dataclass(frozen=True)
class Store:
    """An MLflow tracking store and the experiment that the project's runs belong to.

    Attributes:
        uri: tracking URI; `client` talks to it.
        experiment_id: the experiment of new runs.
        spool: folder for metrics that could not be sent yet.
    """

    uri: str
    client: MlflowClient
    experiment_id: str
    spool: Path


def home(root: Path) -> Path:
    """The folder that holds mlflow.db and mlruns/: `DVC_ROOT` inside a DVC stage, else `root`.

    `dvc exp run --temp` and `--queue` run in a temporary copy of the project, where a database
    would be thrown away; DVC_ROOT points at the project itself.
    """
    return Path(os.environ.get("DVC_ROOT", root)).resolve()


def tracking_uri(root: Path) -> str:
    """`MLFLOW_TRACKING_URI` when set, else the SQLite database of the project at `root`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home(root)}/mlflow.db"


def open_store(root: Path, experiment: str) -> Store:
    """Open the store of the project at `root`; make the database and the experiment if missing.

    Many processes may call it at once: MLflow fails when several make the same database, so that
    happens under a file lock.

    Raises:
        VoxtwistError: the store cannot be reached, or the experiment is in MLflow's trash.
    """
    uri = tracking_uri(root)
    if is_server(uri):
        _check_server(uri)
    scratch = home(root) / ".scratch"
    scratch.mkdir(exist_ok=True)
    try:
        with FileLock(scratch / "mlflow.lock"):
            client = MlflowClient(tracking_uri=uri)
            own = home(root) / "mlflow.db"
            if uri == f"sqlite:///{own}" and own.exists():
                take_along(own, home(root))
            found = client.get_experiment_by_name(experiment) or _create(
                client, experiment, artifact_folder(home(root), experiment)
            )
    except MlflowException as error:
        reason = str(error).splitlines()[0]
        raise VoxtwistError(f"the MLflow store {uri} cannot be opened: {reason}") from error
    if found.lifecycle_stage == LifecycleStage.DELETED:
        raise VoxtwistError(
            f"the experiment {experiment!r} is in MLflow's trash: run `MLFLOW_TRACKING_URI={uri} "
            f"mlflow experiments restore -x {found.experiment_id}`, or name another one as "
            "tracking.experiment in params.yaml"
        )
    return Store(uri, client, found.experiment_id, scratch / "metrics")


def is_server(uri: str) -> bool:
    return uri.startswith(("http:", "https:"))


def _check_server(uri: str) -> None:
    """MLflow itself would try for four minutes before it says so."""
    try:
        requests.head(uri, timeout=10)
    except requests.RequestException as error:
        raise VoxtwistError(
            f"the MLflow server {uri} does not answer ({type(error).__name__}): start it, or "
            "unset MLFLOW_TRACKING_URI for the project's own store"
        ) from None


def _create(client: MlflowClient, name: str, artifacts: Path) -> Experiment:
    # A server knows where its artifacts go; a bare database would put them below the current
    # directory of whoever calls first.
    location = None if is_server(client.tracking_uri) else artifacts.as_uri()
    try:
        created = client.create_experiment(name, location, tags=MODEL_TRAINING)
    except MlflowException:
        found = client.get_experiment_by_name(name)  # another machine was quicker
        if found is None:
            raise
        return found
    return client.get_experiment(created)


def fetch(store: Store, run_id: str, artifact: str, folder: Path) -> Path | None:
    """Copy a file or folder of a run's artifacts below `folder`; None when the run has none.

    Returns:
        Where it is now.
    """
    parent, _, _ = artifact.rpartition("/")
    listed = store.client.list_artifacts(run_id, parent or None)
    if artifact not in {file.path for file in listed}:
        return None
    return Path(store.client.download_artifacts(run_id, artifact, str(folder)))
