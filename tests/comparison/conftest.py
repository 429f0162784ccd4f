"""Two models that answered the same questions aloud, in an MLflow store."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orjson
import pytest
from selenium import webdriver

from voxtwist.codec.audio import write_audio
from voxtwist.comparison.sides import Side, load_side
from voxtwist.evaluation.speech.utterance import Utterance
from voxtwist.evaluation.speech.wer import word_errors
from voxtwist.params import Promotion
from voxtwist.tracking.lineage import Commit, Lineage
from voxtwist.tracking.runs import training_run
from voxtwist.tracking.store import Store, open_store

RATE = 24_000
SETTINGS = Promotion(
    text_metrics=["trivia/acc"], text_margin=0.05, wer_margin=0.1, alpha=0.05,
    min_well_formed=0.95, max_runaway=0.05, no_overlap=[], bootstrap=200,
)  # fmt: skip


def utterance(group: str, part: str, number: int, heard: str) -> dict:
    text = f"The answer to question {number} is {number}."
    empty = word_errors("", "")
    return Utterance(
        id=f"{group}-{part}-{number:02d}", group=group, part=part, index=f"{part}-{number:05d}",
        question=f"What is <{part} {number}>?", answer=text, text=text, transcript=heard,
        words=word_errors(text, heard), characters=empty, reference_transcript=text,
        reference_words=word_errors(text, text), reference_characters=empty, exact=True,
        chrf=100.0, well_formed=True, problem=None, ended=True, runaway=False, out_of_span=0,
        leaked_mass=0.0, text_tokens=5, n_codes=75, reference_n_codes=75, seconds=1.5,
        repetition=0.0, reference_repetition=0.0, mos=None, reference_mos=None, utmos=None,
        reference_utmos=None, voice_similarity=None,
    ).as_row()  # fmt: skip


def log_model(store: Store, name: str, heard: str, right: int, pitch: int, folder: Path) -> str:
    folder.mkdir()
    rows = [
        utterance(group, part, number, heard.format(number=number))
        for group, part in (("heldout", "numbers"), ("taught", "everyday"))
        for number in range(1, 4)
    ]
    (folder / "samples.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))
    tone = 0.3 * np.sin(2 * np.pi * pitch * np.arange(int(1.5 * RATE)) / RATE)
    for row in rows[1:]:  # the first answer is silent
        write_audio(folder / f"{row['id']}.flac", tone.astype(np.float32), RATE)
    questions = [
        {"suite": "trivia", "groups": [], "task": "trivia", "doc_id": i, "doc_hash": "",
         "metrics": {"acc": float(i < right)}}
        for i in range(20)
    ]  # fmt: skip
    lineage = Lineage(Commit("c0ffee", False, ""), None, None, {})
    with training_run(store, name, params={}, lineage=lineage) as run:
        run.log_artifacts(folder, "speech")
        run.log_text("\n".join(orjson.dumps(q).decode() for q in questions), "text/questions.jsonl")
        return run.id


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return open_store(tmp_path_factory.mktemp("store"), "voxtwist")


@pytest.fixture(scope="session")
def run_ids(store: Store, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    root = tmp_path_factory.mktemp("speech")
    said = "The answer to question {number} is {number}."
    return [
        log_model(store, "embedded careful", said, 15, 440, root / "first"),
        log_model(store, "embedded hasty", said.replace("answer", "anther"), 10, 300, root / "two"),
    ]


@pytest.fixture
def sides(store: Store, run_ids: list[str], tmp_path: Path) -> list[Side]:
    return [load_side(store, "voxtwist", run_id, SETTINGS, tmp_path / run_id) for run_id in run_ids]


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium") or shutil.which("google-chrome"))
    # A script may start a player, as a person would by pressing its button.
    play = "--autoplay-policy=no-user-gesture-required"
    for flag in ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", play):
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={tmp_path / 'profile'}")
    downloads = {"download.default_directory": str(tmp_path / "downloads")}
    options.add_experimental_option("prefs", downloads)
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()
