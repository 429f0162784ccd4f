import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from voxtwist.errors import VoxtwistError
from voxtwist.tracking.store import Store, open_store, tracking_uri


def test_store_lies_in_the_project_whatever_the_current_directory(tmp_path, monkeypatch):
    project, elsewhere = tmp_path / "a project", tmp_path / "elsewhere"
    project.mkdir()
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)

    store = open_store(project, "voxtwist")
    run = store.client.create_run(store.experiment_id)
    store.client.log_text(run.info.run_id, "hello", "note.txt")

    assert (project / "mlflow.db").exists()
    assert (project / "mlruns/voxtwist" / run.info.run_id / "artifacts/note.txt").exists()
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("kind", ["moved", "copied"])
def test_a_project_that_is_somewhere_else_takes_its_artifacts_along(tmp_path, kind):
    old, new = tmp_path / "the old place", tmp_path / "new"
    old.mkdir()
    store = open_store(old, "me/x")
    run = store.client.create_run(store.experiment_id)
    store.client.log_text(run.info.run_id, "hello", "note.txt")
    foreign = store.client.create_experiment("foreign", (tmp_path / "nas/mlruns/other").as_uri())
    shutil.move(old, new) if kind == "moved" else shutil.copytree(old, new)

    for _ in range(2):  # and a second time nothing is left to do
        store = open_store(new, "me/x")
        assert store.client.get_run(run.info.run_id).info.artifact_uri.startswith(new.as_uri())
        note = store.client.download_artifacts(run.info.run_id, "note.txt")
        assert Path(note).read_text() == "hello"
    later = store.client.create_run(store.experiment_id)
    store.client.log_text(later.info.run_id, "new", "note.txt")
    assert (new / "mlruns/me_x" / later.info.run_id / "artifacts/note.txt").exists()
    assert store.client.get_experiment(foreign).artifact_location.endswith("/nas/mlruns/other")
    if kind == "copied":
        notes = old / "mlruns/me_x" / run.info.run_id / "artifacts/note.txt"
        assert notes.read_text() == "hello"
        assert len(list((old / "mlruns/me_x").iterdir())) == 1
        assert (
            open_store(old, "me/x")
            .client.get_run(run.info.run_id)
            .info.artifact_uri.startswith(old.as_uri())
        )
    else:
        assert not old.exists()


def test_a_dvc_stage_in_a_temporary_copy_uses_the_project_s_store(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert tracking_uri(tmp_path / "copy") == f"sqlite:///{tmp_path}/mlflow.db"


def test_mlflow_tracking_uri_goes_first(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/shared.db")
    open_store(tmp_path, "voxtwist")
    assert (tmp_path / "shared.db").exists()
    assert not (tmp_path / "mlflow.db").exists()


@pytest.mark.slow
def test_four_first_users_at_once_share_one_experiment(tmp_path):
    code = (
        "import sys; from pathlib import Path; from voxtwist.tracking.store import open_store; "
        "print(open_store(Path(sys.argv[1]), 'voxtwist').experiment_id)"
    )

    def first_user(_: int) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
        )
        return done.stdout

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(first_user, range(4)))) == 1


def test_an_experiment_in_the_trash_is_named_with_the_way_out(store: Store, tmp_path: Path):
    store.client.delete_experiment(store.experiment_id)
    with pytest.raises(VoxtwistError, match=rf"trash: .* restore -x {store.experiment_id}`"):
        open_store(tmp_path, "voxtwist")


def test_a_server_that_does_not_answer_is_named_at_once(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(VoxtwistError, match=r"http://127.0.0.1:9 does not answer .*: start it"):
        open_store(tmp_path, "voxtwist")
