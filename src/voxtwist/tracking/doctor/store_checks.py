"""Can the MLflow store be opened, and is it of the installed MLflow's kind?"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import mlflow
import requests
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from mlflow.store.db.utils import (
    _get_alembic_config,
    _get_latest_schema_revision,
    _get_schema_version,
)
from sqlalchemy import create_engine
from sqlalchemy.exc import SQLAlchemyError

from voxtwist.errors import VoxtwistError
from voxtwist.tracking.doctor.finding import Finding
from voxtwist.tracking.store import Store, is_server, open_store, tracking_uri

SQLITE = "sqlite:///"


def legacy_runs(root: Path) -> Iterator[Finding]:
    """MLflow's old file store kept runs as mlruns/<number>/meta.yaml."""
    for file in sorted((root / "mlruns").glob("*/meta.yaml")):
        folder, aside = file.parent, root / ".scratch" / "legacy-mlruns" / file.parent.name

        def move(folder: Path = folder, aside: Path = aside) -> str:
            aside.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(folder, aside)
            return f"moved to {aside}"

        yield Finding(
            "legacy mlruns",
            f"{folder} is of MLflow's old file store, which this MLflow does not read",
            f"move it away, or --fix moves it to {aside}; `mlflow migrate-filestore` imports it",
            mend=move,
        )


def schema(root: Path) -> Iterator[Finding]:
    """The database's tables against the installed MLflow; a server sees to its own."""
    uri = tracking_uri(root)
    if is_server(uri) or not _exists(uri):
        return
    try:
        engine = create_engine(uri)
        found, wanted = _get_schema_version(engine), _get_latest_schema_revision()
        engine.dispose()
    except SQLAlchemyError as error:
        reason = str(error).splitlines()[0]
        yield Finding("schema", f"{uri} cannot be read: {reason}", "restore it from a backup")
        return
    if found is None or found == wanted:
        return
    if _knows(found):
        yield Finding(
            "schema",
            f"{uri} has the tables of an older MLflow ({found}, wanted {wanted})",
            f"back the database up, then run `mlflow db upgrade {uri}`",
        )
    else:
        yield Finding(
            "schema",
            f"{uri} has the tables of a newer MLflow ({found}) than {mlflow.__version__}",
            "install that MLflow: `make setup` on the commit that made the store",
        )


def reachable(root: Path, experiment: str) -> tuple[Store | None, list[Finding]]:
    """The store, or why there is none."""
    uri = tracking_uri(root)
    if not _exists(uri):
        finding = Finding(
            "store", f"there is no store at {uri} yet", "`make repro` makes it", wrong=False
        )
        return None, [finding]
    try:
        store = open_store(root, experiment)
    except VoxtwistError as error:
        return None, [Finding("store", str(error), "see there, then ask the doctor again")]
    return store, list(server_version(uri))


def server_version(uri: str) -> Iterator[Finding]:
    """Client and server of different MLflow releases do not always understand each other."""
    if not is_server(uri):
        return
    answer = requests.get(f"{uri.rstrip('/')}/version", timeout=10)
    theirs, ours = answer.text.strip(), mlflow.__version__
    if answer.ok and theirs.split(".")[:2] != ours.split(".")[:2]:
        yield Finding(
            "store",
            f"the server runs MLflow {theirs}, this project {ours}",
            "bring both to the same release",
            wrong=theirs.split(".")[0] != ours.split(".")[0],
        )


def _exists(uri: str) -> bool:
    return not uri.startswith(SQLITE) or Path(uri.removeprefix(SQLITE)).exists()


def _knows(revision: str) -> bool:
    try:
        ScriptDirectory.from_config(_get_alembic_config("")).get_revision(revision)
    except CommandError:
        return False
    return True
