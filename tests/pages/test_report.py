"""The report of one model, from files as the stages write them to a page in a real browser."""

import csv
import json
import re
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from selenium import webdriver
from selenium.webdriver.common.by import By

from voxtwist import params
from voxtwist.errors import VoxtwistError
from voxtwist.evaluation.speech.evaluate import as_metrics, write_samples
from voxtwist.evaluation.speech.figures import summarise_speech
from voxtwist.evaluation.speech.judges import Heard
from voxtwist.evaluation.speech.leak import Leak
from voxtwist.evaluation.speech.mos import Scores
from voxtwist.evaluation.speech.questions import Reference
from voxtwist.evaluation.speech.utterance import Utterance, measure
from voxtwist.evaluation.text.table import compare_text, write_questions
from voxtwist.files import write_json
from voxtwist.pages.listening import read_groups
from voxtwist.pages.report import find_extremes
from voxtwist.stages.report import report_stage
from voxtwist.tracking.runs import resume_run
from voxtwist.tracking.store import open_store
from voxtwist.vocabulary import Spoken

ROOT = Path(__file__).parents[2]
REFERENCE = "seven plus eight is fifteen"
MOS = Scores(3.1, 3.4, 3.9, 3.3)


def said(codec: Any, group: str, part: str, number: int, transcript: str) -> Utterance:
    codes = codec.codes(REFERENCE)
    return measure(
        f"{group}-{part}-{number:02d}",
        Reference(group, part, f"{part}-{number}", "How much is 7 < 8?", REFERENCE, codes),
        Spoken("Seven plus eight is fifteen.", codes, True, None),
        Leak(0.001, 6),
        Heard(transcript, MOS, None, None),
        Heard(REFERENCE, MOS, None, None),
        voice=None,
        longest=300,
        frame_rate_hz=50,
    )


def write_speech(folder: Path, codec: Any) -> dict[str, Any]:
    heard = [REFERENCE, "seven plus eight is monday", "the the the", "seven plus eight", REFERENCE,
             "", "seven is fifteen"]  # fmt: skip
    utterances = [
        said(codec, group, part, number, transcript)
        for group in ("heldout", "taught")
        for part in ("everyday", "numbers")
        for number, transcript in enumerate(heard, start=1)
    ]
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(24_000) / 24_000).astype(np.float32)
    answers = [Spoken(REFERENCE, codec.codes(REFERENCE), True, None)] * len(utterances)
    write_samples(folder, utterances, answers, [tone] * len(utterances), codec)
    return as_metrics(summarise_speech(utterances, 50))


def write_text(folder: Path) -> dict[str, Any]:
    def table(right: float) -> list[dict[str, Any]]:
        return [
            {
                "suite": "mmlu", "groups": ["mmlu"], "task": f"mmlu_{subject}", "doc_id": i,
                "doc_hash": f"{subject}{i}", "question": f"{subject} {i}?", "prompt": "P",
                "target": 0, "generated": [], "response": [], "metrics": {"acc": i < 40 * right},
            }
            for subject in ("law", "anatomy")
            for i in range(40)
        ]  # fmt: skip

    base, before, after = table(0.9), table(0.85), table(0.5)
    write_questions(folder, after)
    suite = {
        "versions": {"mmlu_law": 1.0}, "n-shot": {"mmlu_law": 0}, "asked_as_chat": False,
        "answer_prefix": "", "first_prompt": "Question: what is <law>?\nAnswer:",
        "config": {"random_seed": 0, "numpy_seed": 1234, "torch_seed": 1235},
    }  # fmt: skip
    details = {
        "software": {"lm_eval": version("lm_eval")}, "chat_template_sha256": "ab" * 32,
        "suites": {"mmlu": suite},
    }  # fmt: skip
    write_json(details, folder / "details.json")
    return {
        "mmlu/leaked_mass": 0.0012,
        "comparison": {k: c.as_dict() for k, c in compare_text(before, after, 200).items()},
        "comparison_to_base": {k: c.as_dict() for k, c in compare_text(base, after, 200).items()},
    }


def write_project(root: Path, codec: Any) -> params.Params:
    settings = params.load(ROOT / "params.yaml")
    write_json(write_speech(root / "samples" / "speech", codec), root / "metrics" / "speech.json")
    write_json(write_text(root / "samples" / "text_sft"), root / "metrics" / "text_sft.json")
    store = open_store(root, settings.tracking.experiment)
    run_id = store.client.create_run(store.experiment_id, run_name="tiny & <1a2b>").info.run_id
    write_json({"run_id": run_id}, root / "metrics" / "train.json")
    with resume_run(store, run_id) as run:
        for step in range(0, 101, 5):
            for kind, start in (("text", 13.0), ("speech", 12.5)):
                loss = 2 + start * np.exp(-step / 20)
                run.log_metrics({f"train/loss_{kind}": loss}, step)
                if step % 50 == 0:
                    run.log_metrics({f"eval/loss_{kind}": loss + 0.2}, step)
    return settings


def make_report(root: Path, settings: params.Params) -> Path:
    report_stage(
        root, settings, root / "metrics", root / "samples", root / "report", root / "plots"
    )
    return root / "report" / "index.html"


@pytest.fixture(scope="module")
def project(
    tmp_path_factory: pytest.TempPathFactory, word_codec: Any
) -> tuple[Path, params.Params]:
    root = tmp_path_factory.mktemp("project")
    return root, write_project(root, word_codec)


@pytest.fixture(scope="module")
def page(project: tuple[Path, params.Params]) -> Path:
    return make_report(*project)


def test_the_page_tells_what_was_measured(project: tuple[Path, params.Params], page: Path) -> None:
    root, settings = project
    html = page.read_text()
    assert "tiny &amp; &lt;1a2b&gt;" in html
    row = re.search(r"<th>mmlu/acc</th>(.*?)</tr>", html, re.DOTALL)
    cells = re.findall(r">([^<]+)</td>", row[1])
    assert cells[:4] == ["90.0", "85.0", "50.0", "-35.0"]
    assert cells[5:] == ["&lt; 0.001", "80"]
    assert html.index("<th>mmlu/acc") < html.index("<details>") < html.index("<th>mmlu_law/acc")
    assert "0.12 % of its" in html
    assert html.count("<svg") == 4  # losses of text and speech, errors of two parts
    assert "Loss of speech tokens (nats)" in html
    assert html.count("<audio") == 12  # three best and worst of two held-out parts
    assert "Question: what is &lt;law&gt;?" in html
    assert "lm_eval 0.4.13" in html
    assert f"generate.temperature: {settings.generate.temperature}" in html
    store = open_store(root, settings.tracking.experiment)
    run_id = json.loads((root / "metrics" / "train.json").read_text())["run_id"]
    assert [f.path for f in store.client.list_artifacts(run_id, "report")] == ["report/index.html"]
    assert [f.path for f in store.client.list_artifacts(run_id, "speech")] == [
        "speech/listening.html"
    ]


def test_nothing_is_fetched_or_run(page: Path) -> None:
    html = page.read_text()
    assert "<script" not in html
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", html)
    assert not re.search(r"url\((?!#)", html)


def test_best_and_worst_answers(project: tuple[Path, params.Params]) -> None:
    root, _ = project
    metrics = json.loads((root / "metrics" / "speech.json").read_text())
    group = read_groups(root / "samples" / "speech", metrics)[0]
    extremes = find_extremes(group, shown=2)
    assert [card.row["transcript"] for card in extremes.best] == [REFERENCE, REFERENCE]
    assert [card.error_rate for card in extremes.worst] == [1.0, 1.0]
    every = find_extremes(group, shown=9)  # of seven: none twice
    assert len({card.row["id"] for card in (*every.best, *every.worst)}) == 6


def test_dvc_draws_the_plots(page: Path, tmp_path: Path) -> None:
    plots = tmp_path / "plots" / "results"
    shutil.copytree(page.parents[1] / "plots", plots)
    loss = list(csv.DictReader((plots / "loss_heldout.csv").open()))
    assert loss[0] == {"step": "0", "text": "15.2", "speech": "14.7"}
    assert [row["step"] for row in loss] == ["0", "50", "100"]
    rates = list(csv.DictReader((plots / "wer.csv").open()))
    assert len(rates) == 28
    assert {row["group"] for row in rates} >= {"heldout numbers", "taught everyday"}
    assert rates[1]["wer"] == "0.2"
    # The project's own definitions of plots, on these files.
    definitions = yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"]
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"plots": definitions}))
    for command in (["git", "init", "-q"], ["dvc", "init", "-q"]):
        subprocess.run(command, cwd=tmp_path, check=True)
    shown = subprocess.run(
        ["dvc", "plots", "show", "--json"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    drawn = json.loads(shown.stdout)
    assert not drawn.get("errors")
    points = {
        name: sum(len(plot["content"]["data"]["values"]) for plot in plots)
        for name, plots in drawn["data"].items()
    }
    assert points == {
        "loss, nats per token": 2 * 21 + 2 * 3, "word error rate of each answer": 28,
        "right answers to text questions": 9,
    }  # fmt: skip


def test_what_was_not_measured_is_named(
    project: tuple[Path, params.Params], tmp_path: Path
) -> None:
    root, settings = project
    with pytest.raises(VoxtwistError, match=r"text_sft\.json is missing: run the stage evaluate_t"):
        report_stage(root, settings, tmp_path, root / "samples", tmp_path, tmp_path)


def test_a_run_of_another_machine_has_no_curves(
    project: tuple[Path, params.Params], tmp_path: Path
) -> None:
    root = tmp_path / "elsewhere"
    shutil.copytree(project[0], root)
    write_json({"run_id": "0123456789abcdef" * 2}, root / "metrics" / "train.json")
    html = make_report(root, project[1]).read_text()
    assert 'id="learning"' not in html
    assert "mmlu/acc" in html


@pytest.mark.parametrize("width", [390, 1200])
def test_a_browser_shows_all_of_it(page: Path, width: int) -> None:
    options = webdriver.ChromeOptions()
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "hide-scrollbars"):
        options.add_argument(f"--{flag}")
    browser = webdriver.Chrome(options)
    try:
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        browser.get(page.as_uri())
        assert browser.execute_script("return document.documentElement.scrollWidth") == width
        for chart in browser.find_elements(By.TAG_NAME, "svg"):
            assert 200 < chart.size["width"] <= width
        assert browser.find_element(By.CSS_SELECTOR, "td.worse").text == "-35.0"
        assert not browser.get_log("browser")
    finally:
        browser.quit()
