"""Looking at data on the terminal and as JSON."""

import json
import re

import numpy as np
import orjson
import pytest
from typer.testing import CliRunner

from voxtwist.cli.main import app
from voxtwist.data.convert import convert
from voxtwist.data.inspect_sample import describe_sample, read_line
from voxtwist.data.raw import SPEECH_COLUMN
from voxtwist.errors import VoxtwistError

N_CODES = 64


def run(*arguments):
    return CliRunner().invoke(app, ["inspect", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def converted(settings, raw_folder, tmp_path):
    convert(raw_folder, tmp_path / "all.jsonl", settings)
    return tmp_path / "all.jsonl"


@pytest.fixture
def sample(converted):
    return read_line(converted, 3)


def test_raw_counts_and_statistics(raw_folder, raw_rows, write_shard):
    bad = [row | {"answer": ""} for row in raw_rows(2, start=90)]
    write_shard(raw_folder / "train-00004-of-00004.parquet", bad)
    result = run("raw", raw_folder, "--json", "--codes", N_CODES, "--frame-rate", 50)
    report = json.loads(result.stdout)
    assert (report["files"], report["rows"], report["usable"]) == (5, 18, 16)
    assert report["rejected"] == {"empty answer": 2}
    assert report["columns"][SPEECH_COLUMN] == "list<element: int64>"
    assert report["preview"][0]["question"] == "What is 0 plus 0?"
    seconds = [len(row[SPEECH_COLUMN]) / 50 for row in raw_rows(5)]
    assert report["statistics"]["seconds"]["min"] == min(seconds)
    shown = run("raw", raw_folder, "--codes", N_CODES, "--frame-rate", 50).stdout
    assert "rejected: empty answer" in shown and "characters per second" in shown


def test_a_good_sample_is_shown_and_passes(converted, tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    options = ("--tokenizer", tmp_path / "tokenizer", "--codes", N_CODES, "--index", 3)
    result = run("sample", converted, *options, "--json")
    view = json.loads(result.stdout)
    assert result.exit_code == 0
    assert all(check["passed"] for check in view["checks"])
    assert view["answer"] == "3 plus 3 makes 6."
    assert (view["codes"], view["seconds"]) == (63, 1.26)
    modalities = [token["modality"] for token in view["tokens"]]
    assert modalities.count("speech") == 63
    assert [token["text"] for token in view["tokens"] if token["modality"] == "control"] == [
        *("<|im_start|>", "<|im_end|>", "<|im_start|>"),
        *("<text>", "</text>", "<speech>", "</speech>", "<|im_end|>"),
    ]
    learnt = [token["text"] for token in view["tokens"] if token["supervised"]]
    assert learnt[0] == "<text>" and learnt[-1] == "<|im_end|>"
    shown = run("sample", converted, *options)
    assert shown.exit_code == 0
    assert "51 more" in shown.stdout and "✗" not in shown.stdout


def swap_end(sample):
    sample["input_ids"][-1] = sample["labels"][-1] = 5


def unmask(sample):
    sample["labels"][:] = sample["input_ids"]


def hide(sample):
    sample["attention_mask"][4] = 0


def shift(sample):
    sample["labels"][30:] = np.roll(sample["labels"][30:], 1)


def outside(sample):
    sample["input_ids"][40] = sample["labels"][40] = 10**6


@pytest.mark.parametrize(
    ("spoil", "failing"),
    [
        (swap_end, {"nothing follows the end of the turn", "the answer is text"}),
        (unmask, {"the prompt is masked", "the answer is text"}),
        (hide, {"the mask attends"}),
        (shift, {"labels behind the prompt"}),
        (outside, {"every id is in the vocabulary", "the answer is text"}),
    ],
)
def test_a_spoilt_sample_fails_in_words(sample, tokenizer, spoil, failing):
    spoil(sample)
    view = describe_sample(sample, tokenizer)
    names = {check.name for check in view.checks if not check.passed}
    assert len(names) == len(failing)
    assert all(any(name.startswith(start) for name in names) for start in failing)


def test_lines_that_cannot_be_read_are_named(converted, tmp_path):
    with pytest.raises(VoxtwistError, match=re.escape("has no line 16")):
        read_line(converted, 16)
    sample = orjson.loads(converted.read_bytes().splitlines()[0])
    sample["labels"].pop()
    (tmp_path / "uneven.jsonl").write_bytes(orjson.dumps(sample))
    with pytest.raises(VoxtwistError, match="they must be as long"):
        read_line(tmp_path / "uneven.jsonl", 0)
