"""The split: the same draw as always, nothing lost, equal texts on one side when asked."""

import json
import random

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtwist.data.convert import convert
from voxtwist.data.groups import group_rows, normalise
from voxtwist.data.index import TokenIndex, index_path
from voxtwist.data.split import draw_eval, split
from voxtwist.errors import VoxtwistError


def test_old_splits_are_reproduced():
    is_eval = draw_eval(463_071, 0.15, 42)
    assert (int((~is_eval).sum()), int(is_eval.sum())) == (393_611, 69_460)
    order = list(range(463_071))
    random.Random(42).shuffle(order)
    assert set(np.flatnonzero(is_eval).tolist()) == set(order[:69_460])


@settings(deadline=None)
@given(
    st.integers(4, 300),
    st.floats(0.3, 0.7),
    st.integers(0, 5),
    st.lists(st.integers(0, 200), min_size=300, max_size=300),
)
def test_groups_stay_whole_and_the_size_is_not_exceeded(rows, ratio, seed, numbers):
    groups = np.array(numbers[:rows])
    try:
        is_eval = draw_eval(rows, ratio, seed, groups)
    except VoxtwistError as error:
        assert "leaves one side empty" in str(error)  # one group can be nearly everything
        return
    assert set(groups[is_eval]).isdisjoint(groups[~is_eval])
    largest = np.bincount(groups).max()
    assert ratio * rows - largest <= is_eval.sum() <= ratio * rows
    singles = draw_eval(rows, ratio, seed, np.arange(rows))
    assert (singles == draw_eval(rows, ratio, seed)).all()


def test_rows_are_grouped_through_other_rows():
    #           a-1   b-1   b-2   c-3   d-4
    questions = np.array([1, 2, 2, 3, 4], dtype=np.uint64)
    answers = np.array([1, 1, 2, 3, 4], dtype=np.uint64)
    assert len(set(group_rows([questions, answers])[:3])) == 1
    assert len(set(group_rows([questions, answers]))) == 3
    assert len(set(group_rows([questions]))) == 4


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("What's up?", "whats  UP", True),
        ("ﬁne", "Fine!", True),
        ("你好。", "你好", True),
        (":)", ":(", False),
        ("one two", "onetwo", False),
    ],
)
def test_normalised_texts(one, other, equal):
    assert (normalise(one) == normalise(other)) is equal


@pytest.fixture
def converted(settings, raw_rows, write_shard, tmp_path):
    """40 samples; each question is asked by four of them, in other words, with other answers."""
    rows = raw_rows(40)
    for number, row in enumerate(rows):
        row["question"] = f"What IS {number % 10}" + "?" * (number // 10)
    rows[0]["index"] = "everyday-1"
    write_shard(tmp_path / "raw.parquet", rows)
    convert(tmp_path / "raw.parquet", tmp_path / "all.jsonl", settings)
    return tmp_path / "all.jsonl"


@pytest.mark.parametrize("group_by", [(), ("question",), ("question", "answer")])
def test_every_line_goes_to_one_side_in_order(converted, tmp_path, group_by):
    report = split(converted, tmp_path / "s", 0.2, 42, group_by)
    lines = converted.read_text().splitlines()
    sides = {}
    for side in ("train", "eval"):
        path = tmp_path / "s" / f"{side}.jsonl"
        sides[side] = [lines.index(line) for line in path.read_text().splitlines()]
        assert sides[side] == sorted(sides[side])
        assert len(sides[side]) == report[side]
        rows = pq.read_table(tmp_path / "s" / f"{side}.rows.parquet")["row"].to_pylist()
        assert rows == sides[side]
    assert sorted(sides["train"] + sides["eval"]) == list(range(40))
    assert len(sides["eval"]) == 8
    questions = {side: {number % 10 for number in numbers} for side, numbers in sides.items()}
    assert questions["train"].isdisjoint(questions["eval"]) is bool(group_by)
    shared = sum(number % 10 in questions["train"] for number in sides["eval"])
    assert report["overlap"]["question"]["eval_rows"] == shared
    assert report["overlap"]["answer"]["eval_rows"] == 0
    assert report["parts"]["numbers"]["train"] + report["parts"]["numbers"]["eval"] == 39


def test_unheard_words_are_counted(settings, raw_rows, write_shard, tmp_path):
    rows = raw_rows(10)
    held_out = set(np.flatnonzero(draw_eval(10, 0.2, 42)).tolist())
    for number, row in enumerate(rows):
        row["answer"] = "Seven and Nine." if number in held_out else "Seven and eight."
    write_shard(tmp_path / "raw.parquet", rows)
    convert(tmp_path / "raw.parquet", tmp_path / "all.jsonl", settings)
    report = split(tmp_path / "all.jsonl", tmp_path, 0.2, 42)
    part = report["parts"]["numbers"]
    assert (part["eval_answer_words"], part["unheard_words"]) == (3, 1)
    assert part["unheard_examples"] == "nine"


def test_index_finds_every_sample(converted, tmp_path):
    split(converted, tmp_path / "s", 0.2, 42)
    for side in ("train", "eval"):
        path = tmp_path / "s" / f"{side}.jsonl"
        written = index_path(path).read_bytes()
        index = TokenIndex.open(path)
        lines = path.read_text().splitlines()
        assert len(index) == len(lines)
        assert isinstance(index.lengths.base, np.memmap)
        for number, line in enumerate(lines):
            sample = json.loads(line)
            read = index.read(number)
            assert read["input_ids"].tolist() == sample["input_ids"]
            assert read["labels"].tolist() == sample["labels"]
            assert index.lengths[number] == len(sample["input_ids"])
        with pytest.raises(IndexError):
            index.read(len(lines))
        index_path(path).unlink()  # built again from the file itself, to the same bytes
        TokenIndex.open(path)
        assert index_path(path).read_bytes() == written


def test_an_index_of_another_file_is_made_again(converted, tmp_path):
    path = tmp_path / "x.jsonl"
    lines = converted.read_text().splitlines(keepends=True)
    path.write_text("".join(lines))
    TokenIndex.open(path)
    path.write_text("".join(reversed(lines)))
    assert TokenIndex.open(path).read(0)["labels"].tolist() == json.loads(lines[-1])["labels"]
    path.write_text("".join(lines[:3]))
    assert len(TokenIndex.open(path)) == 3


def test_a_file_without_rows_can_be_split_but_not_grouped(converted, tmp_path):
    path = tmp_path / "foreign.jsonl"
    path.write_bytes(converted.read_bytes())
    assert split(path, tmp_path / "s", 0.2, 42) == {
        "train": 32,
        "eval": 8,
        "eval_wanted": 8,
        "group_by": "none",
    }
    assert len(TokenIndex.open(tmp_path / "s" / "eval.jsonl")) == 8
    with pytest.raises(VoxtwistError, match=r"foreign\.rows\.parquet is missing"):
        split(path, tmp_path / "s", 0.2, 42, ["question"])


def test_bad_inputs_are_named(converted, tmp_path):
    with pytest.raises(VoxtwistError, match="is missing: run convert first"):
        split(tmp_path / "nothing.jsonl", tmp_path, 0.2, 42)
    with pytest.raises(VoxtwistError, match="leaves one side empty"):
        split(converted, tmp_path / "s", 0.01, 42)
    with pytest.raises(VoxtwistError, match="it may hold question and answer"):
        split(converted, tmp_path / "s", 0.2, 42, ["index"])
    converted.write_text("".join(converted.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(VoxtwistError, match=r"39 lines, .* has 40 rows"):
        split(converted, tmp_path / "s", 0.2, 42)
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"input_ids": [1]}\n{"text": 1}\n')
    with pytest.raises(VoxtwistError, match=r"bad\.jsonl line 2 is no sample"):
        TokenIndex.open(bad)
