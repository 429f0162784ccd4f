import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from voxtwist.errors import VoxtwistError
from voxtwist.stages.summary import show_summary

METRICS = {
    "convert": {
        "rows_in": 2010,
        "rows_out": 2000,
        "rejected": {"all": 10, "no speech": 7, "no text": 3},
        "hours_of_speech": 1.4321,
    },
    "split": {"train": 1700, "eval": 300},
    "train": {
        "run_id": "ab",
        "before": {"loss_text": 3.512, "loss_speech": 8.3},
        "after": {"loss_text": 0.5, "loss_speech": 2.25},
    },
    "text_twist": {"trivia/acc": 0.4, "trivia/acc_stderr": 0.031},
    "text_sft": {
        "trivia/acc": 0.385,
        "trivia/acc_stderr": 0.03,
        "comparison": {"trivia/acc": {"n": 240}},
    },
    "speech": {
        "taught/numbers/wer": 0.31,
        "heldout/numbers/wer": 0.5,
        "heldout/numbers/reference_wer": 0.07,
        "intervals": {
            "taught/numbers/wer": [0.2, 0.4, 16],
            "heldout/numbers/wer": [0.333, 0.75, 24],
            "heldout/numbers/reference_wer": [0.0, 0.1, 24],
        },
    },
    "register": {"model": "voxtwist", "version": 3},
}


def shown(folder: Path, metrics: dict) -> list[list[str]]:
    """The table's lines as lists of cells."""
    for name, values in metrics.items():
        (folder / f"{name}.json").write_text(json.dumps(values))
    output = StringIO()
    show_summary(folder, Console(file=output, width=200))
    lines = output.getvalue().splitlines()
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]


def test_the_table_says_what_was_gained_and_what_was_lost(tmp_path: Path):
    assert shown(tmp_path, METRICS)[1:-2] == [
        ["samples", "2,000 (10 rejected)"],
        ["hours of speech", "1.43"],
        ["training / held-out samples", "1,700 / 300"],
        ["loss of text tokens", "3.51", "0.50"],
        ["loss of speech tokens", "8.30", "2.25"],
        ["trivia accuracy", "40.0% ± 3.1%", "38.5% ± 3.0%"],
        ["WER, taught numbers", "0.31 (0.20 to 0.40)"],
        ["WER, heldout numbers", "0.50 (0.33 to 0.75)"],
        ["registered", "voxtwist version 3"],
    ]


def test_stages_that_did_not_run_are_left_out(tmp_path: Path):
    lines = shown(tmp_path, {"split": METRICS["split"]})
    assert len(lines) == 4


def test_it_names_all_that_is_to_be_committed(tmp_path: Path):
    *_, last = shown(tmp_path, {"split": METRICS["split"]})
    assert last == [
        "To keep the results: `git add params.yaml dvc.lock pipelines metrics && git commit -m ...`"
    ]


def test_without_metrics_it_says_what_to_run(tmp_path: Path):
    with pytest.raises(VoxtwistError, match="holds no metrics: run `make repro`"):
        show_summary(tmp_path)
