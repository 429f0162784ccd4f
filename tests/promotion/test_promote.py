"""Promotion in a real project: DVC cache and lock, MLflow registry, package, ledger."""

import base64
import io
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest
import requests
import soundfile
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

pytestmark = pytest.mark.slow
QUESTION = "How much is seven plus eight?"


@pytest.fixture(scope="module")
def promoted(make_project):
    """Version 1 is promoted, from the DVC cache alone: version 2 is its package."""
    project = make_project()
    version = project.evaluated("first")
    shutil.rmtree(project.folder / "checkpoints" / "sft")
    shutil.rmtree(project.folder / "data" / "codec" / "phones")
    done = project.voxtwist("promote", version)
    assert done.returncode == 0, done.stderr
    assert "no champion to compare with" in done.stdout
    assert "models:/voxtwist@champion is version 2 now" in done.stdout
    subprocess.run(["dvc", "checkout", "--quiet"], cwd=project.folder, check=True)
    return project


@pytest.fixture
def tracking(promoted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", promoted.store.uri)


def test_the_package_answers_with_text_codes_and_sound(promoted, tracking) -> None:
    model = mlflow.pyfunc.load_model("models:/voxtwist@champion")
    rows = model.predict([{"question": QUESTION, "seed": 0}, {"question": "Who?", "seed": 1}])
    assert len(rows) == 2
    assert rows[0]["text"]
    assert all(0 <= code < 32 for code in rows[0]["speech_tokens"])
    waveform, rate = soundfile.read(io.BytesIO(rows[0]["wav"]))
    assert rate == rows[0]["sample_rate"] == 24_000
    assert len(waveform) / rate == pytest.approx(len(rows[0]["speech_tokens"]) / 25, abs=0.03)
    assert model.predict([{"question": QUESTION}])[0] == rows[0]
    assert model.metadata.get_input_schema().input_names() == ["question", "seed"]
    assert model.metadata.get_output_schema().input_names() == [
        "text", "speech_tokens", "wav", "sample_rate",
    ]  # fmt: skip


def test_the_package_says_what_it_is_and_needs(promoted, tracking) -> None:
    client = promoted.store.client
    plain, package = (client.get_model_version("voxtwist", number) for number in "12")
    assert package.tags["voxtwist.packaged_from"] == "1"
    assert package.run_id == plain.run_id
    for tag in ("git.commit", "md5.checkpoint", "md5.codec"):
        assert package.tags[tag] == plain.tags[tag]
    folder = Path(mlflow.artifacts.download_artifacts("models:/voxtwist/2"))
    needs = (folder / "requirements.txt").read_text().split()
    assert f"mlflow=={mlflow.__version__}" in needs
    assert all("==" in line for line in needs)
    assert json.loads((folder / "input_example.json").read_text())


def test_the_ledger_and_the_tags_tell_the_promotion(promoted) -> None:
    entry = promoted.ledger()[0]
    assert (entry["action"], entry["alias"], entry["before"], entry["after"]) == (
        "promote", "champion", None, "2",
    )  # fmt: skip
    assert entry["who"] == "Ada <ada@example.org>"
    assert {gate["name"] for gate in entry["gates"]} >= {"WER, held out", "lock fresh"}
    tags = promoted.store.client.get_model_version("voxtwist", "2").tags
    assert tags["promotion.champion.who"] == entry["who"]
    assert json.loads(tags["promotion.champion.gates"]) == entry["gates"]


def test_a_worse_version_is_refused_and_nothing_moves(promoted) -> None:
    version, before = promoted.evaluated("worse", right=40), promoted.alias("champion")
    lines = len(promoted.ledger())
    for options in ([], ["--dry-run"]):
        done = promoted.voxtwist("promote", version, *options)
        assert done.returncode == 1
        assert "60.0% → 40.0%" in done.stdout
        assert "refuse" in done.stdout
    assert "is not promoted: text trivia/acc." in promoted.voxtwist("promote", version).stderr
    assert promoted.alias("champion") == before
    assert len(promoted.ledger()) == lines


def test_an_override_is_recorded_and_rollback_undoes_it(promoted) -> None:
    version, before = promoted.evaluated("louder", wrong_words=5), promoted.alias("champion")
    done = promoted.voxtwist("promote", version, "--override", "a demo needs its voice")
    assert done.returncode == 0, done.stderr
    entry = promoted.ledger()[-1]
    assert entry["override"] == "a demo needs its voice"
    assert entry["before"] == before
    assert promoted.alias("champion") == entry["after"] != before
    again = promoted.voxtwist("promote", "@champion", "--override", "once more")
    assert "is the champion already" in again.stderr

    assert promoted.voxtwist("rollback").returncode == 0
    assert promoted.alias("champion") == before
    undone = promoted.ledger()[-1]
    assert (undone["action"], undone["before"], undone["after"]) == (
        "rollback", entry["after"], before,
    )  # fmt: skip
    assert undone["undoes"] == entry["when"]
    tags = promoted.store.client.get_model_version("voxtwist", entry["after"]).tags
    assert "Ada" in tags["promotion.champion.rolled_back"]


def test_it_answers_over_http(promoted) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    serve = ["models", "serve", "-m", "models:/voxtwist@champion", "--env-manager", "local"]
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", *serve, "--host", "127.0.0.1", "-p", port],
        env={**os.environ, "MLFLOW_TRACKING_URI": promoted.store.uri},
        cwd=promoted.folder.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        session = requests.Session()
        patient = Retry(total=None, connect=60, read=60, backoff_factor=0.5, backoff_max=2)
        session.mount("http://", HTTPAdapter(max_retries=patient))
        assert session.get(f"http://127.0.0.1:{port}/ping").status_code == 200
        asked = {"dataframe_records": [{"question": QUESTION, "seed": 0}]}
        answer = requests.post(f"http://127.0.0.1:{port}/invocations", json=asked, timeout=300)
    finally:
        os.killpg(server.pid, 15)
        server.wait()
    assert answer.status_code == 200, answer.text
    (row,) = answer.json()["predictions"]
    assert row["text"]
    waveform, rate = soundfile.read(io.BytesIO(base64.b64decode(row["wav"])))
    assert rate == row["sample_rate"]
    assert len(waveform)


def test_a_stale_lock_a_dirty_tree_and_an_overlap_are_refused(project) -> None:
    version = project.evaluated("careless", dirty=True, shared=1)
    (project.folder / "trained.txt").write_text("other settings\n")
    done = project.voxtwist("promote", version)
    assert done.returncode == 1
    assert "changed since: codec, train: run `dvc repro`" in done.stdout
    assert "no train/eval overlap, clean work tree, lock fresh." in done.stderr
    assert project.alias("champion") is None
    assert not (project.folder / "promotions.jsonl").exists()


def test_a_package_that_does_not_answer_is_thrown_away(project) -> None:
    settings = (project.folder / "params.yaml").read_text()
    (project.folder / "params.yaml").write_text(settings.replace("n_codes: 32", "n_codes: 31"))
    version = project.evaluated("wrong codec")
    done = project.voxtwist("promote", version)
    assert done.returncode == 1
    assert "was packaged but does not answer, nothing was moved" in done.stderr
    assert "codec.n_codes is 31" in done.stderr
    assert project.alias("champion") is None
    versions = project.store.client.search_model_versions("name = 'voxtwist'")
    assert [str(found.version) for found in versions] == [version]
