"""A project with a lock, a trained and evaluated model, and a registry, at its smallest."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import yaml
from tests.tiny_codec import tiny_codec

from voxtwist.codec.audio import write_audio
from voxtwist.params import Params
from voxtwist.tracking import lineage
from voxtwist.tracking.registry import register_checkpoint
from voxtwist.tracking.runs import training_run
from voxtwist.tracking.store import Store, open_store

ROOT = Path(__file__).parents[2]
CODES, SAMPLE_RATE = 32, 24_000


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Project:
    """A git and DVC project; `evaluated` adds a model version with what it measured."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store: Store = open_store(folder, "voxtwist")

    @property
    def params(self) -> Params:
        return Params(**yaml.safe_load((self.folder / "params.yaml").read_text()))

    def evaluated(
        self,
        name: str,
        right: int = 60,
        wrong_words: int = 0,
        *,
        dirty: bool = False,
        shared: int = 0,
        **changes: object,
    ) -> str:
        """A version that has `right` of 100 questions right and `wrong_words` of 10 a sentence.

        Args:
            changes: of every row of samples.jsonl.
        """
        found = lineage.collect(
            self.folder, {"codec": "data/codec/phones", "checkpoint": "checkpoints/sft"}
        )
        commit = lineage.Commit(found.commit.sha, dirty, "")
        found = lineage.Lineage(commit, "train", None, found.md5)
        split = self.folder / "metrics" / "split.json"
        overlap = {column: {"eval_rows": shared} for column in ("question", "answer")}
        split.write_text(json.dumps({"overlap": overlap}))
        with training_run(self.store, name, params={}, lineage=found) as opened:
            opened.log_text(lines(questions(right)), "text/questions.jsonl")
            opened.log_artifacts(self.speech(wrong_words, changes), "speech")
        report = self.folder / "metrics" / "register.json"
        version = register_checkpoint(
            self.store, opened.id, "voxtwist", self.folder, "checkpoints/sft", report, [split]
        )
        return str(version.version)

    def speech(self, wrong_words: int, changes: Mapping[str, object]) -> Path:
        folder = self.folder / ".scratch" / "speech"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        rows = [answer(i, wrong_words) | changes for i in range(6)]
        (folder / "samples.jsonl").write_text(lines(rows))
        settings = self.params.model_dump(include={"codec", "generate"})
        (folder / "settings.json").write_text(json.dumps(settings))
        tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(SAMPLE_RATE) / SAMPLE_RATE)
        for row in rows:
            write_audio(folder / f"{row['id']}.flac", tone.astype(np.float32), SAMPLE_RATE)
        return folder

    def voxtwist(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "voxtwist", *arguments],
            cwd=self.folder,
            env={**os.environ, "COLUMNS": "200"},
            capture_output=True,
            text=True,
        )

    def alias(self, name: str) -> str | None:
        version = self.store.client.get_registered_model("voxtwist").aliases.get(name)
        return version and str(version)

    def ledger(self) -> list[dict]:
        text = (self.folder / "promotions.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]


def questions(right: int) -> list[dict]:
    return [
        {"suite": "trivia", "groups": [], "task": "trivia", "doc_id": i, "doc_hash": str(i),
         "metrics": {"acc": float(i < right)}}
        for i in range(100)
    ]  # fmt: skip


def answer(i: int, wrong_words: int) -> dict:
    text = f"one two three four five six seven eight nine {i}"
    heard = " ".join(["wrong"] * wrong_words + text.split()[wrong_words:])
    return {
        "id": f"heldout-numbers-{i + 1:02d}", "group": "heldout", "part": "numbers",
        "index": f"numbers-{i:05d}", "question": f"What is {i}?", "answer": text, "text": text,
        "transcript": heard, "words": {"errors": wrong_words, "length": 10}, "exact": True,
        "well_formed": True, "runaway": False, "ended": True, "problem": None, "seconds": 1.0,
        "mos": {"overall": 3.0}, "chrf": 100.0,
    }  # fmt: skip


def lines(rows: list[dict]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture(scope="session")
def template(tiny_twist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project before any run: a lock that names a tiny checkpoint and codec."""
    folder = tmp_path_factory.mktemp("template") / "project"
    folder.mkdir()
    made = folder.parent / "made"
    tiny_codec(CODES).save(made / "phones")
    settings = yaml.safe_load((ROOT / "params.yaml").read_text())
    settings["codec"] |= {"n_codes": CODES}
    settings["generate"] |= {"max_text_tokens": 6, "max_speech_seconds": 0.5}
    settings["promotion"] |= {"bootstrap": 500}
    (folder / "params.yaml").write_text(yaml.safe_dump(settings))
    (folder / "metrics").mkdir()
    (folder / "trained.txt").write_text("settings of the training\n")
    (folder / ".gitignore").write_text("mlflow.db*\n/mlruns/\n/.scratch/\n/metrics/\n*.html\n")
    run(folder, "git", "init", "-q")
    run(folder, "git", "config", "user.name", "Ada")
    run(folder, "git", "config", "user.email", "ada@example.org")
    run(folder, "dvc", "init", "-q")
    for stage, source, out in (
        ("codec", made / "phones", "data/codec/phones"),
        ("train", tiny_twist, "checkpoints/sft"),
    ):
        run(
            folder, "dvc", "stage", "add", "-q", "-n", stage, "-d", "trained.txt", "-o", out,
            f"mkdir -p {Path(out).parent} && cp -r {source} {out}",
        )  # fmt: skip
    run(folder, "dvc", "repro", "-q")
    run(folder, "git", "add", ".")
    run(folder, "git", "commit", "-qm", "trained")
    open_store(folder, "unused")
    return folder


@pytest.fixture(scope="session")
def make_project(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Project]:
    def make() -> Project:
        folder = tmp_path_factory.mktemp("project") / "project"
        shutil.copytree(template, folder)
        return Project(folder)

    return make


@pytest.fixture
def project(make_project: Callable[[], Project]) -> Project:
    return make_project()
