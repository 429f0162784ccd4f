"""Conversion: exact bytes in order, nothing lost, resumable, the same on many machines."""

import json
import os
import pickle
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from voxtwist.data import convert as module
from voxtwist.data.convert import convert, convert_parts, merge, plan_conversion, work_folder
from voxtwist.data.files import rows_path
from voxtwist.data.inspect_raw import describe_raw
from voxtwist.data.part import ConvertSettings
from voxtwist.data.raw import RAW_SCHEMA, SPEECH_COLUMN
from voxtwist.data.stats import measure_rows
from voxtwist.errors import VoxtwistError
from voxtwist.vocabulary import ChatFormat, extend_tokenizer

N_CODES = 64


def plain_line(tokenizer, fmt, question, answer, codes):
    """The line as a plain script writes it, row by row, from the tokenizer's own template."""
    user = {"role": "user", "content": question.removeprefix("<USER>: ")}
    turns = [user, {"role": "assistant", "content": answer}]
    ids = tokenizer.apply_chat_template(turns, enable_thinking=False, return_dict=False)
    prompt = tokenizer.apply_chat_template(
        [user], add_generation_prompt=True, enable_thinking=False, return_dict=False
    )
    vocabulary = tokenizer.get_vocab()
    speech = [vocabulary[f"<|s_{code}|>"] for code in codes]
    end = len(ids) - 1 - ids[::-1].index(vocabulary["<|im_end|>"])
    if fmt == "v1":
        masked = len(prompt)
        if "<think>" in vocabulary:
            masked = prompt.index(vocabulary["<think>"])
        ids = [*ids[:end], *speech, ids[end]]
    else:
        masked = len(prompt)
        marks = {t: vocabulary[t] for t in ("<text>", "</text>", "<speech>", "</speech>")}
        text = [marks["<text>"], *ids[masked:end], marks["</text>"]]
        ids = [*prompt, *text, marks["<speech>"], *speech, marks["</speech>"], ids[end]]
    labels = [-100] * masked + ids[masked:]
    sample = {"input_ids": ids, "labels": labels, "attention_mask": [1] * len(ids)}
    return json.dumps(sample, separators=(",", ":")) + "\n"


@pytest.mark.parametrize("fmt", ["v1", "v1.1"])
@pytest.mark.parametrize("base", ["qwen3_tokenizer", "smollm2_tokenizer"])
def test_bytes_are_those_of_the_plain_way(request, base, fmt, raw_folder, tmp_path):
    tokenizer = extend_tokenizer(request.getfixturevalue(base), N_CODES, fmt)
    output = tmp_path / "out" / "all.jsonl"
    counts = convert(raw_folder, output, ConvertSettings(ChatFormat.from_tokenizer(tokenizer), 50))
    raw = pq.read_table(raw_folder).to_pylist()
    expected = [
        plain_line(tokenizer, fmt, row["question"], row["answer"], row[SPEECH_COLUMN])
        for row in raw
    ]
    assert output.read_text() == "".join(expected)
    assert (counts.rows_in, counts.rows_out, counts.rejected) == (16, 16, {})

    rows = pq.read_table(tmp_path / "out" / "all.rows.parquet").to_pylist()
    assert [row["index"] for row in rows] == [row["index"] for row in raw]
    assert [row["row"] for row in rows] == [*range(5), 0, *range(7), *range(3)]
    assert [row["n_tokens"] for row in rows] == [len(json.loads(e)["labels"]) for e in expected]
    assert [row["n_codes"] for row in rows] == [len(row[SPEECH_COLUMN]) for row in raw]
    assert rows[5]["shard"] == "train-00001-of-00004.parquet"
    assert not work_folder(output).exists()


@pytest.mark.parametrize("fmt", ["v1", "v1.1"])
@pytest.mark.parametrize("base", ["qwen3_tokenizer", "smollm2_tokenizer"])
def test_a_history_in_the_question_becomes_turns(
    request, base, fmt, raw_rows, write_shard, tmp_path
):
    """As in SLAM-Omni's multi-turn sets. Only the last answer is learnt."""
    said = ["Who wrote it?", "Somebody\nwrote it.", "And when <USER>?", "In 1600.", "Really?"]
    marks = ["<USER>: ", " <ASSISTANT>: ", "\n<USER>:", "<ASSISTANT>:", "  <USER>:  "]
    question = "".join(mark + text for mark, text in zip(marks, said, strict=True))
    row = raw_rows(1)[0] | {"question": question}
    write_shard(tmp_path / "shard.parquet", [row])
    tokenizer = extend_tokenizer(request.getfixturevalue(base), N_CODES, fmt)
    settings = ConvertSettings(ChatFormat.from_tokenizer(tokenizer), 50)
    convert(tmp_path / "shard.parquet", tmp_path / "all.jsonl", settings)
    sample = json.loads((tmp_path / "all.jsonl").read_text())
    turns = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(said)]
    prompt = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
    assert sample["input_ids"][: len(prompt)] == prompt
    masked = sample["labels"].count(-100)
    assert sample["labels"][masked:] == sample["input_ids"][masked:]
    learnt = tokenizer.decode(sample["input_ids"][masked:]).removeprefix("<think>\n\n</think>\n\n")
    assert learnt.removeprefix("<text>").startswith(row["answer"])
    assert tokenizer.decode(sample["input_ids"][:masked]).count("Really?") == 1
    # The table of rows keeps the question as it is, for who asks it again.
    assert pq.read_table(tmp_path / "all.rows.parquet")["question"].to_pylist() == [question]
    assert describe_raw([tmp_path / "shard.parquet"], 64, 50)["preview"][0]["turns"] == said


BAD = {
    "null question": ({"question": None}, "null", "question is null"),
    "null answer": ({"answer": None}, "null", "answer is null"),
    "null codes": ({SPEECH_COLUMN: None}, "null", "list of speech codes is null"),
    "empty answer": ({"answer": " \n"}, "empty answer", r"' \n'"),
    "no speech": ({SPEECH_COLUMN: []}, "no speech", "no speech codes"),
    "high code": (
        {SPEECH_COLUMN: [1] * 59 + [64]},
        "code out of range",
        "code 64 at place 59; allowed are 0 to 63",
    ),
    "negative code": ({SPEECH_COLUMN: [-1] * 60}, "code out of range", "code -1 at place 0"),
    "null code": ({SPEECH_COLUMN: [1, None] * 30}, "code out of range", "code -1 at place 1"),
    "no question at the end": (
        {"question": "<USER>: Hi <ASSISTANT>: Hello"},
        "turns of the question",
        "the turns are USER ASSISTANT: they must alternate and end with USER",
    ),
    "a turn without text": (
        {"question": "<USER>: Hi <ASSISTANT>:  <USER>: And?"},
        "turns of the question",
        "turn 2 has no text",
    ),
    "too short": ({"answer": "long " * 100}, "too little speech", "1.22 s"),
    "too long": ({"answer": "Hi", SPEECH_COLUMN: [1] * 250}, "too much speech", "5.00 s"),
    "over max_length": ({SPEECH_COLUMN: [1] * 900}, "over max_length", "max_length is 500"),
}


def test_rejected_rows_are_kept_with_reasons(chat, raw_rows, write_shard, tmp_path):
    rows = raw_rows(3)
    good = rows[0]["answer"]
    bad = [rows[1] | change for change, _, _ in BAD.values()]
    bad[-1]["answer"] = "so many words that the speech may be long " * 3
    write_shard(tmp_path / "shard.parquet", [rows[0], *bad, rows[2]])
    output = tmp_path / "all.jsonl"
    settings = ConvertSettings(chat, 50, max_length=500)
    counts = convert(tmp_path / "shard.parquet", output, settings)
    rejected = [json.loads(line) for line in (tmp_path / "rejected.jsonl").open()]
    assert counts.rows_in == 2 + len(BAD) == counts.rows_out + len(rejected)
    assert sum(counts.rejected.values()) == len(rejected)
    for number, (record, (_, reason, detail)) in enumerate(
        zip(rejected, BAD.values(), strict=True)
    ):
        assert (record["shard"], record["row"]) == ("shard.parquet", number + 1)
        assert record["reason"].startswith(reason) and detail in record["detail"], record
        assert record["answer"] == bad[number]["answer"]
    kept = pq.read_table(tmp_path / "all.rows.parquet").to_pylist()
    assert [(row["row"], row["answer"]) for row in kept] == [
        (0, good),
        (len(bad) + 1, rows[2]["answer"]),
    ]


def test_long_samples_are_rejected_or_kept_but_never_cut(chat, raw_folder, tmp_path):
    convert(raw_folder, tmp_path / "whole.jsonl", ConvertSettings(chat, 50))
    keep = ConvertSettings(chat, 50, max_length=100, too_long="keep")
    convert(raw_folder, tmp_path / "kept.jsonl", keep)
    assert (tmp_path / "kept.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    lines = (tmp_path / "whole.jsonl").read_text().splitlines()
    lengths = [len(json.loads(line)["input_ids"]) for line in lines]
    limit = int(np.median(lengths))
    counts = convert(
        raw_folder, tmp_path / "some.jsonl", ConvertSettings(chat, 50, max_length=limit)
    )
    fitting = [line for line, n in zip(lines, lengths, strict=True) if n <= limit]
    assert 0 < len(fitting) < len(lines)
    assert (tmp_path / "some.jsonl").read_text().splitlines() == fitting
    assert counts.rejected == {"over max_length": len(lines) - len(fitting)}


def test_text_that_is_not_utf8_is_rejected(settings, raw_rows, tmp_path):
    table = pa.Table.from_pylist(raw_rows(3), RAW_SCHEMA)
    broken = pa.array([b"good one.", b"caf\xe9 for two", b"good two."]).view(pa.binary())
    column = pa.Array.from_buffers(pa.string(), 3, broken.buffers())
    place = table.schema.get_field_index("answer")
    pq.write_table(table.set_column(place, "answer", column), tmp_path / "shard.parquet")
    counts = convert(tmp_path / "shard.parquet", tmp_path / "all.jsonl", settings)
    assert counts.rejected == {"not UTF-8": 1}
    [record] = [json.loads(line) for line in (tmp_path / "rejected.jsonl").open()]
    assert record["answer"] == "caf\ufffd for two"


def test_only_rejected_rows_is_an_error(settings, raw_rows, write_shard, tmp_path):
    rows = [row | {"answer": ""} for row in raw_rows(2)]
    write_shard(tmp_path / "shard.parquet", rows)
    with pytest.raises(VoxtwistError, match="no row can be used"):
        convert(tmp_path / "shard.parquet", tmp_path / "all.jsonl", settings)
    assert not (tmp_path / "all.jsonl").exists()
    assert len((tmp_path / "rejected.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize("num_samples", [1, 5, 6, 9, 100])
def test_num_samples_takes_the_first_rows(settings, raw_folder, tmp_path, num_samples):
    convert(raw_folder, tmp_path / "all.jsonl", settings)
    counts = convert(raw_folder, tmp_path / "few.jsonl", settings, num_samples=num_samples)
    lines = (tmp_path / "all.jsonl").read_text().splitlines()
    assert (tmp_path / "few.jsonl").read_text().splitlines() == lines[:num_samples]
    assert counts.rows_in == min(16, num_samples)


def test_workers_do_not_change_the_bytes(settings, raw_folder, tmp_path):
    for workers in (1, 4):
        convert(raw_folder, tmp_path / f"{workers}.jsonl", settings, workers)
    assert (tmp_path / "1.jsonl").read_bytes() == (tmp_path / "4.jsonl").read_bytes()


# A conversion in its own process that is killed as the third shard begins.
KILLED = """
import os, pickle, signal, sys
from pathlib import Path
from voxtwist.data import convert

real = convert.convert_shard
def dying(shard, rows, part, settings):
    if part.number == 2:
        part.jsonl.with_name("half.tmp").write_bytes(b"half a line")
        os.kill(os.getpid(), signal.SIGKILL)
    return real(shard, rows, part, settings)

convert.convert_shard = dying
raw_folder, output, settings = sys.argv[1:]
settings = pickle.loads(Path(settings).read_bytes())
convert.convert(raw_folder, Path(output), settings, workers=1)
"""


def test_a_killed_run_goes_on_where_it_was(settings, raw_folder, tmp_path, monkeypatch):
    convert(raw_folder, tmp_path / "reference.jsonl", settings)
    output = tmp_path / "all.jsonl"
    pickled = tmp_path / "settings.pickle"
    pickled.write_bytes(pickle.dumps(settings))
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, raw_folder, output, pickled], check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert not output.exists()

    made = []
    real = module.convert_shard

    def watched(shard, rows, part, settings):
        if part.read_counts() is None:
            made.append(part.number)
        return real(shard, rows, part, settings)

    monkeypatch.setattr(module, "convert_shard", watched)
    convert(raw_folder, output, settings, workers=1)
    assert made == [2, 3]
    assert output.read_bytes() == (tmp_path / "reference.jsonl").read_bytes()
    assert not work_folder(output).exists()


def test_changed_shards_and_settings_take_up_no_old_parts(settings, raw_folder, tmp_path, chat):
    folders = {plan_conversion(raw_folder, settings, tmp_path / "work").folder}
    folders.add(plan_conversion(raw_folder, settings, tmp_path / "work", 7).folder)
    other = ConvertSettings(chat, 50, max_length=90)
    folders.add(plan_conversion(raw_folder, other, tmp_path / "work").folder)
    shard = raw_folder / "train-00001-of-00004.parquet"
    os.utime(shard, ns=(0, 0))
    folders.add(plan_conversion(raw_folder, settings, tmp_path / "work").folder)
    assert len(folders) == 4
    assert plan_conversion(raw_folder, settings, tmp_path / "work").folder in folders


def test_jobs_of_an_array_merge_to_the_same_bytes(settings, raw_folder, tmp_path):
    convert(raw_folder, tmp_path / "reference.jsonl", settings)
    output = tmp_path / "all.jsonl"
    with pytest.raises(VoxtwistError, match="holds nothing"):
        merge(output)
    for job in (1, 0):
        plan = plan_conversion(raw_folder, settings, work_folder(output))
        if job == 0:
            with pytest.raises(VoxtwistError, match=r"2 of 4 shards .*train-00000-of-00004"):
                merge(output)
        convert_parts(plan, settings, range(job, 4, 2), workers=1)
    counts = merge(output)
    assert counts.rows_out == 16
    for suffix in (".jsonl", ".rows.parquet"):
        reference = (tmp_path / "reference").with_suffix(suffix)
        assert output.with_suffix(suffix).read_bytes() == reference.read_bytes()


def test_an_error_in_a_shard_stops_the_run_and_names_it(settings, raw_folder, tmp_path):
    shard = raw_folder / "train-00002-of-00004.parquet"
    data = shard.read_bytes()
    shard.write_bytes(data[:4] + b"\xff" * 100 + data[104:])
    with pytest.raises(VoxtwistError, match="train-00002-of-00004"):
        convert(raw_folder, tmp_path / "all.jsonl", settings)
    assert list(Path(tmp_path).glob("all.jsonl")) == []


@pytest.mark.slow
def test_ray_gives_the_same_bytes(settings, raw_folder, tmp_path):
    ray = pytest.importorskip("ray")
    from voxtwist.data.convert import assemble
    from voxtwist.data.ray_backend import convert_parts_with_ray

    convert(raw_folder, tmp_path / "reference.jsonl", settings)
    ray.init(num_cpus=2, include_dashboard=False)
    try:
        plan = plan_conversion(raw_folder, settings, tmp_path / "work")
        rows = []
        convert_parts_with_ray(plan, settings, range(4), workers=2, progress=rows.append)
        assert sorted(rows) == [1, 3, 5, 7]
        assemble(plan, tmp_path / "all.jsonl")
    finally:
        ray.shutdown()
    assert (tmp_path / "all.jsonl").read_bytes() == (tmp_path / "reference.jsonl").read_bytes()


@pytest.mark.parametrize("rate", [50, 25])
def test_rejection_bounds_are_seconds_whatever_the_frame_rate(
    rate, settings, raw_rows, write_shard, tmp_path
):
    """10 characters may take from 0.2 s to 12 s."""
    allowed = [0.2, 12.0]
    seconds = [0.2 - 1 / rate, *allowed, 12.0 + 1 / rate]
    rows = [
        row | {"answer": "ten chars.", SPEECH_COLUMN: [1] * round(length * rate)}
        for row, length in zip(raw_rows(4), seconds, strict=True)
    ]
    write_shard(tmp_path / "shard.parquet", rows)
    output = tmp_path / "all.jsonl"
    counts = convert(tmp_path / "shard.parquet", output, replace(settings, frame_rate_hz=rate))
    assert counts.rejected == {
        "too little speech for its text": 1,
        "too much speech for its text": 1,
    }
    assert measure_rows(rows_path(output))["seconds"].tolist() == allowed


def test_a_damaged_frame_rate_is_named(settings, raw_rows, write_shard, tmp_path):
    schema = RAW_SCHEMA.with_metadata({"frame_rate_hz": "fast"})
    shard = write_shard(tmp_path / "shard.parquet", raw_rows(1), schema)
    with pytest.raises(VoxtwistError, match=r"shard\.parquet: frame_rate_hz must be .*'fast'"):
        convert(shard, tmp_path / "all.jsonl", settings)


def test_rows_of_an_older_version_are_converted_again(tmp_path, settings, raw_folder):
    output = tmp_path / "all.jsonl"
    convert(raw_folder, output, settings)
    rows = rows_path(output)
    pq.write_table(pq.read_table(rows).replace_schema_metadata(None), rows)
    with pytest.raises(VoxtwistError, match="does not say its codec's frame rate: run convert"):
        measure_rows(rows)
