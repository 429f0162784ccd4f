"""The whole pipeline at its smallest, from a fresh clone, as a user runs it; then once more."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from mlflow import MlflowClient

SLAM_OMNI = [
    "split_name", "index", "round", "question", "question_audio", "answer",
    "answer_cosyvoice_speech_token", "answer_snac",
]  # fmt: skip
ROOT = Path(__file__).parent.parent
SMALLEST = {
    "corpus": {
        "everyday": 12, "numbers": 40, "talk": 20, "codec_minutes": 2, "round_trip_sentences": 6,
    },
    "codec": {"n_codes": 256},
    "train": {"max_steps": 6, "eval_steps": 3, "log_steps": 1, "save_steps": 3},
    "generate": {"max_text_tokens": 16, "max_speech_seconds": 0.5},
    "evaluate_text": {"limit": 12},
    "evaluate_speech": {"samples": 2, "taught": 1},
}  # fmt: skip


def repro(clone: Path) -> str:
    done = subprocess.run(
        ["make", "repro", f"VENV={sys.prefix}"],
        cwd=clone,
        env={**os.environ, "COLUMNS": "120"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_a_fresh_clone_runs_from_corpus_to_registry_and_then_has_nothing_to_do(tmp_path):
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    file = clone / "params.yaml"
    settings = yaml.safe_load(file.read_text())
    for section, changes in SMALLEST.items():
        settings[section] |= changes
    file.write_text(yaml.safe_dump(settings))

    printed = repro(clone)
    assert "voxtwist version 1" in printed
    shards = sorted((clone / "data/raw/embedded").glob("*.parquet"))
    assert [shard.name for shard in shards] == [f"train-0000{i}-of-00004.parquet" for i in range(4)]
    assert {str(field.type) for field in pq.read_schema(shards[0])} == {
        "string", "int64", "list<element: int64>", "struct<bytes: binary, path: string>",
    }  # fmt: skip
    assert pq.read_schema(shards[0]).names == SLAM_OMNI
    metrics = {path.stem: json.loads(path.read_text()) for path in (clone / "metrics").iterdir()}
    split = metrics["split"]
    assert split["train"] + split["eval"] == metrics["convert"]["rows_out"] == 72
    assert split["overlap"]["answer"]["eval_rows"] == 0
    train = metrics["train"]
    assert train["after"]["loss_speech"] < train["before"]["loss_speech"]
    assert train["after"]["loss_text"] < train["before"]["loss_text"]

    client = MlflowClient(f"sqlite:///{clone}/mlflow.db")
    run = client.get_run(train["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.metrics["eval/loss_speech"] == pytest.approx(train["last"]["loss_speech"])
    assert run.data.tags["git.commit"]
    logged = {file.path for file in client.list_artifacts(run.info.run_id, "speech")}
    assert "speech/listening.html" in logged
    assert any(name.endswith(".flac") for name in logged)
    (page,) = client.list_artifacts(run.info.run_id, "report")
    assert page.file_size == (clone / "report" / "index.html").stat().st_size
    version = client.get_model_version("voxtwist", "1")
    assert version.run_id == run.info.run_id
    assert version.tags["md5.checkpoint"].endswith(".dir")

    before = {path: path.stat().st_mtime_ns for path in (clone / "metrics").iterdir()}
    assert "up to date" in repro(clone)
    assert before == {path: path.stat().st_mtime_ns for path in (clone / "metrics").iterdir()}
