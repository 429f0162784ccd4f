import pytest

from voxtwist.credentials import is_secret_name, masked
from voxtwist.process import user_name
from voxtwist.terminal import one_line_errors
from voxtwist.tracking.doctor.finding import Finding
from voxtwist.tracking.runs import training_run
from voxtwist.tracking.store import open_store


def test_the_password_of_an_address_is_masked_and_nothing_else():
    assert masked("at https://me:pw@example.org:5000/a and sqlite:////tmp/a@b/mlflow.db") == (
        "at https://***@example.org:5000/a and sqlite:////tmp/a@b/mlflow.db"
    )
    assert masked("postgresql+psycopg2://me:p%40w@db/x") == "postgresql+psycopg2://***@db/x"
    assert masked("write to me@example.org") == "write to me@example.org"


@pytest.mark.parametrize("name", ["src/tokens.py", "keys.md", "env.py", "docs/tokenizer.json"])
def test_names_of_code_are_no_secrets(name: str):
    assert not is_secret_name(name)


def test_a_server_s_password_is_not_in_the_error(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:hunter2@127.0.0.1:9")
    with pytest.raises(SystemExit), one_line_errors():
        open_store(tmp_path, "voxtwist")
    shown = capsys.readouterr().err
    assert "http://***@127.0.0.1:9 does not answer" in shown
    assert "hunter2" not in shown
    assert "hunter2" not in Finding("store", "http://me:hunter2@host is gone", "wait").problem


def test_a_setting_s_password_is_not_logged(store, lineage):
    settings = {"generate": {"server": "http://me:hunter2@gpu:8000/v1"}}
    with training_run(store, "a", params=settings, lineage=lineage) as run:
        run.set_tags({"address": "http://me:hunter2@gpu"})
    data = store.client.get_run(run.id).data
    assert data.params["generate.server"] == "http://***@gpu:8000/v1"
    assert data.tags["address"] == "http://***@gpu"


def test_a_uid_without_an_account_has_its_number(monkeypatch):
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 54321)
    assert user_name() == "54321"
