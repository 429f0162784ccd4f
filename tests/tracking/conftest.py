import shutil
from pathlib import Path

import pytest

from voxtwist.tracking.lineage import Commit, Lineage
from voxtwist.tracking.store import Store, open_store


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Making MLflow's tables takes seconds, copying them nothing."""
    root = tmp_path_factory.mktemp("mlflow")
    open_store(root, "unused")
    return root / "mlflow.db"


@pytest.fixture
def store(tmp_path: Path, empty_database: Path) -> Store:
    shutil.copy(empty_database, tmp_path)
    return open_store(tmp_path, "voxtwist")


@pytest.fixture
def lineage() -> Lineage:
    return Lineage(
        commit=Commit("c0ffee", True, "+learning_rate: 3e-4\n"),
        stage="train",
        experiment=None,
        md5={"train_split": "0" * 32},
    )
