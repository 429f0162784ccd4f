"""Move a project's own MLflow store (SQLite and mlruns/) to a server's database and artifact root.

    python deploy/migrate.py sqlite:///mlflow.db postgresql+psycopg2://… /srv/mlflow

Rows are copied as they are, so that run ids, version numbers, aliases and time stamps stay: they
stand in metrics/*.json, in tags and in promotions.jsonl. (MLflow's client API, and the exporters
that use it, would give every run a new id.) All or nothing: the database is written in one
transaction, after the artifacts. The source is only read. Stop both servers before.
"""

import argparse
import sys
from pathlib import Path
from urllib.parse import unquote, urlparse

import mlflow.store.tracking.dbmodels.models  # noqa: F401 - both register their tables
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.db.base_sql_model import Base
from mlflow.store.db.utils import _initialize_tables
from sqlalchemy import Connection, Engine, Table, create_engine, func, insert, inspect, select, text

from voxtwist.tracking.moved import PLACES

BATCH = 1000
TABLES = Base.metadata.sorted_tables


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("source", help="sqlite:///mlflow.db")
    parser.add_argument("target", help="the server's DATABASE")
    parser.add_argument("artifacts", help="the server's ARTIFACTS: a folder or s3://bucket/path")
    asked = parser.parse_args()
    source, target = create_engine(asked.source), create_engine(asked.target)
    if not inspect(target).has_table("experiments"):
        _initialize_tables(target)
    check(source, target)
    places = copy_artifacts(source, asked.artifacts)
    with source.connect() as read, target.begin() as write:
        for table in reversed(TABLES):
            write.execute(table.delete())  # the rows of an empty store, such as "Default"
        for table in TABLES:
            print(f"{table.name}: {copy_rows(read, write, table, places)} rows")
        reset_counters(write)


def check(source: Engine, target: Engine) -> None:
    """Both have the same tables, and the target has nothing to lose."""
    with source.connect() as read, target.connect() as write:
        revisions = [
            side.scalar(text("select version_num from alembic_version")) for side in (read, write)
        ]
        if revisions[0] != revisions[1]:
            sys.exit(
                f"error: the source has the tables of another MLflow ({revisions[0]}, not "
                f"{revisions[1]}): run `mlflow db upgrade {source.url}`"
            )
        for name in ("runs", "registered_models"):
            if write.scalar(select(func.count()).select_from(Base.metadata.tables[name])):
                sys.exit(f"error: the target has {name} already: migrate into an empty database")


def copy_artifacts(source: Engine, root: str) -> dict[str, str]:
    """Copy experiments below `root`; each old location -> the one that the server serves."""
    experiments = Base.metadata.tables["experiments"].c
    with source.connect() as read:
        rows = read.execute(select(experiments.experiment_id, experiments.artifact_location)).all()
    places = {}
    for experiment, location in rows:
        parsed = urlparse(location)
        if parsed.scheme not in ("", "file"):
            continue  # already where all can reach it
        folder = Path(unquote(parsed.path))
        if folder.is_dir():
            get_artifact_repository(f"{root.rstrip('/')}/{experiment}").log_artifacts(str(folder))
        places[location] = f"mlflow-artifacts:/{experiment}"
    return places


def copy_rows(read: Connection, write: Connection, table: Table, places: dict[str, str]) -> int:
    if not inspect(read).has_table(table.name):
        return 0
    count = 0
    for batch in read.execute(select(table)).mappings().partitions(BATCH):
        rows = [dict(row) for row in batch]
        for row in rows:
            for column in PLACES.get(table.name, []):
                row[column] = moved(row[column], places)
        write.execute(insert(table), rows)
        count += len(rows)
    return count


def moved(uri: str | None, places: dict[str, str]) -> str | None:
    """The new address of what lies in or below one of the old places."""
    for old, new in places.items():
        if uri is not None and (uri == old or uri.startswith(f"{old}/")):
            return new + uri[len(old) :]
    return uri


def reset_counters(write: Connection) -> None:
    """PostgreSQL counts on from the highest number that was copied."""
    if write.dialect.name != "postgresql":
        return
    for table in TABLES:
        for column in table.primary_key.columns:
            name = {"table": table.name, "column": column.name}
            sequence = write.scalar(text("select pg_get_serial_sequence(:table, :column)"), name)
            highest = write.scalar(select(func.max(column))) if sequence else None
            if highest:
                write.execute(text("select setval(:s, :n)"), {"s": sequence, "n": highest})


if __name__ == "__main__":
    main()
