"""A project that was moved or copied finds its artifacts where they are now.

MLflow's database holds absolute addresses. Without this, a copied project would go on writing into
the artifacts of the one that it was copied from.
"""

import logging
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote

log = logging.getLogger(__name__)

# Columns of MLflow's database that say where artifacts lie.
PLACES = {
    "experiments": ["artifact_location"],
    "runs": ["artifact_uri"],
    "logged_models": ["artifact_location"],
    "model_versions": ["source", "storage_location"],
}
_WAIT = 30.0  # seconds for another process that writes


def artifact_folder(home: Path, experiment: str) -> Path:
    """Where a project keeps the artifacts of an experiment, whose name may hold anything."""
    return home / "mlruns" / re.sub(r"[^\w.-]", "_", experiment)


def take_along(database: Path, home: Path) -> None:
    """Point the addresses of a project's own database at `home`, in one transaction.

    An experiment has moved where its address is the one that the project would have given it in
    another folder, and its artifacts are here. Addresses of any other kind stay.
    """
    with closing(sqlite3.connect(database, timeout=_WAIT)) as connection:
        old = _moved_from(connection, home)
        if not old:
            return
        connection.execute("BEGIN IMMEDIATE")
        for prefix in old:
            for table, columns in PLACES.items():
                for column in columns:
                    connection.execute(
                        f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                        f"WHERE substr({column}, 1, ?) = ?",
                        (_mlruns(home), len(prefix) + 1, len(prefix), prefix),
                    )
        connection.commit()
    place = unquote(min(old)).removeprefix("file://").removesuffix("/mlruns/")
    log.warning("the project was moved or copied from %s: its artifacts are found here", place)


def _moved_from(connection: sqlite3.Connection, home: Path) -> set[str]:
    """The addresses `file:///…/mlruns/` below which this project's experiments lay."""
    rows = connection.execute("SELECT experiment_id, name, artifact_location FROM experiments")
    old = set()
    for number, name, location in rows:
        for folder in (artifact_folder(home, name), home / "mlruns" / str(number)):
            prefix, found, rest = (location or "").rpartition("/mlruns/")
            mine = f"{_mlruns(home)}{rest}"
            if found and location != mine and mine == folder.as_uri() and folder.is_dir():
                old.add(f"{prefix}/mlruns/")
    return old


def _mlruns(home: Path) -> str:
    return f"{(home / 'mlruns').as_uri()}/"
