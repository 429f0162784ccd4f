"""Reading raw shards: column types of all releases, and files that are not what they should be."""

import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from voxtwist.data.raw import RAW_SCHEMA, SPEECH_COLUMN, find_shards, open_shard, read_batches
from voxtwist.data.reject import Rejection, SpeechRate, find_rejections
from voxtwist.errors import VoxtwistError


def test_shards_come_by_name_and_rows_in_order(raw_folder):
    shards = find_shards(raw_folder)
    assert [path.name[6:11] for path in shards] == ["00000", "00001", "00002", "00003"]
    assert find_shards(str(raw_folder / "train-0000[13]*.parquet")) == [shards[1], shards[3]]
    rows = [
        (batch.index[i], batch.first_row + i, len(batch.codes_of(i)))
        for shard in shards
        for batch in read_batches(shard, batch_rows=3)
        for i in range(len(batch))
    ]
    assert [index for index, _, _ in rows] == [f"numbers-{i:05d}" for i in range(16)]
    assert [row for _, row, _ in rows] == [*range(5), 0, *range(7), *range(3)]
    assert [codes for _, _, codes in rows] == [60 + i % 7 for i in range(16)]


def test_the_users_prefix_is_removed_once(tmp_path, raw_rows, write_shard):
    row = raw_rows(1)[0] | {"question": "<USER>: <USER>: hi"}
    [batch] = read_batches(write_shard(tmp_path / "a.parquet", [row]))
    assert batch.question == ["<USER>: hi"]


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ("index", pa.int64()),
        ("round", pa.string()),
        ("question", pa.large_string()),
        ("question", pa.string_view()),
        ("answer", pa.dictionary(pa.int32(), pa.string())),
        ("index", pa.dictionary(pa.int8(), pa.large_string())),
        (SPEECH_COLUMN, pa.large_list(pa.int16())),
        (SPEECH_COLUMN, pa.list_(pa.uint32())),
    ],
)
def test_types_of_other_releases_read_the_same(tmp_path, raw_rows, write_shard, column, kind):
    rows = [row | {"index": str(i)} for i, row in enumerate(raw_rows(3))]
    [usual] = read_batches(write_shard(tmp_path / "usual.parquet", rows))
    table = pa.Table.from_pylist(rows, RAW_SCHEMA)
    place = table.schema.get_field_index(column)
    table = table.set_column(place, column, table[column].cast(kind))
    pq.write_table(table, tmp_path / "other.parquet")
    [other] = read_batches(tmp_path / "other.parquet")
    assert (other.index, other.question, other.answer) == (
        usual.index,
        usual.question,
        usual.answer,
    )
    assert other.codes.tolist() == usual.codes.tolist()
    assert other.codes.dtype == usual.codes.dtype


def test_a_code_above_int64_costs_its_row_only(tmp_path, raw_rows):
    table = pa.Table.from_pylist(raw_rows(3), RAW_SCHEMA)
    codes = table[SPEECH_COLUMN].to_pylist()
    codes[1][5] = 2**64 - 1
    place = table.schema.get_field_index(SPEECH_COLUMN)
    values = pa.array(codes, pa.list_(pa.uint64()))
    pq.write_table(table.set_column(place, SPEECH_COLUMN, values), tmp_path / "shard.parquet")
    [batch] = read_batches(tmp_path / "shard.parquet")
    assert batch.codes_of(2).tolist() == codes[2]
    assert find_rejections(batch, 4096, 50, SpeechRate()) == {
        1: Rejection(
            "code out of range",
            "code 9223372036854775807 or more at place 5; allowed are 0 to 4095",
        )
    }


@pytest.mark.parametrize(
    ("column", "values", "parts"),
    [
        ("part", ["qa v1", "../../rlhf", None], ["qa_v1", "rlhf", "numbers"]),
        ("part", ["a/b", "", "é" * 500], ["a_b", "numbers", "é" * 60]),
        ("index", ["wavs/LJ001-0001", "everyday_talk-1", None], ["all", "everyday_talk", "all"]),
        ("index", ["dad123e4-0567-4e89-8b12-000000000000", "17", "a-b-1"], ["all"] * 3),
    ],
)
def test_parts_have_names_that_files_and_metrics_may_have(
    tmp_path, raw_rows, column, values, parts
):
    """A path or a UUID as index is no part: it names one row."""
    rows = [row | {column: value} for row, value in zip(raw_rows(3), values, strict=True)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "shard.parquet")
    [batch] = read_batches(tmp_path / "shard.parquet")
    assert batch.part == parts


def test_audio_is_never_read(tmp_path, raw_rows):
    """The audio's pages are overwritten: a reader that touches them fails."""
    table = pa.Table.from_pylist(raw_rows(20), RAW_SCHEMA)
    audio = pa.array([{"bytes": b"\xab" * 5000, "path": "x"}] * 20)
    path = tmp_path / "a.parquet"
    pq.write_table(table.append_column("question_audio", audio), path, compression="none")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"\xab" * 5000, b"\xcd" * 5000))
    metadata = pq.read_metadata(path).row_group(0)
    chunks = [metadata.column(i) for i in range(metadata.num_columns)]
    start = next(c for c in chunks if c.path_in_schema.startswith("question_audio"))
    page = start.dictionary_page_offset or start.data_page_offset
    path.write_bytes(data[:page] + b"\xff" * 64 + data[page + 64 :])
    with pytest.raises(OSError):
        pq.read_table(path)
    assert sum(map(len, read_batches(path))) == 20


def test_broken_files_are_named(tmp_path, raw_rows, write_shard):
    whole = write_shard(tmp_path / "whole.parquet", raw_rows(50)).read_bytes()
    for name, data in {
        "truncated.parquet": whole[: len(whole) // 2],
        "foreign.parquet": b'{"not": "parquet"}' * 100,
        "empty.parquet": b"",
    }.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(VoxtwistError, match=rf"{name} is no complete parquet file"):
            open_shard(tmp_path / name)
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(whole[:4] + b"\xff" * 400 + whole[404:])
    with pytest.raises(VoxtwistError, match=r"damaged\.parquet cannot be read behind row 0"):
        list(read_batches(damaged))


@pytest.mark.parametrize("column", ["index", "question", "answer", SPEECH_COLUMN])
def test_a_missing_column_is_named(tmp_path, raw_rows, column):
    path = tmp_path / "shard.parquet"
    pq.write_table(pa.Table.from_pylist(raw_rows(2), RAW_SCHEMA).drop_columns([column]), path)
    with pytest.raises(VoxtwistError, match=rf"shard\.parquet has no column '{column}'.*round"):
        open_shard(path)


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        ("answer", [1, 2], "'answer' is int64; expected text"),
        ("index", [0.5, 1.5], "'index' is double; expected text or integers"),
        (SPEECH_COLUMN, ["1 2", "3"], "is string; expected a list of integers"),
        (SPEECH_COLUMN, [[0.5], [1.0]], "double.*; expected a list of integers"),
    ],
)
def test_a_wrong_type_is_named(tmp_path, raw_rows, column, values, expected):
    table = pa.Table.from_pylist(raw_rows(2), RAW_SCHEMA)
    place = table.schema.get_field_index(column)
    pq.write_table(table.set_column(place, column, pa.array(values)), tmp_path / "shard.parquet")
    with pytest.raises(VoxtwistError, match=rf"shard\.parquet: column .*{expected}"):
        open_shard(tmp_path / "shard.parquet")


def test_a_column_that_occurs_twice_is_named(tmp_path, raw_rows):
    table = pa.Table.from_pylist(raw_rows(2), RAW_SCHEMA)
    pq.write_table(table.append_column("answer", table["answer"]), tmp_path / "shard.parquet")
    with pytest.raises(VoxtwistError, match=r"shard\.parquet has 2 columns 'answer'"):
        open_shard(tmp_path / "shard.parquet")


def test_brackets_in_names_are_no_pattern(tmp_path, raw_rows, write_shard):
    folder = tmp_path / "Voice[400K]"
    shards = [write_shard(folder / f"train-[{i}].parquet", raw_rows(1)) for i in range(2)]
    write_shard(tmp_path / "Voice4" / "other.parquet", raw_rows(1))
    assert find_shards(folder) == find_shards(folder / "*.parquet") == shards
    assert find_shards(shards[1]) == shards[1:]
    assert find_shards(tmp_path / "*" / "train*") == shards
    assert find_shards(tmp_path / "Voice[0-9]" / "*.parquet") == [
        tmp_path / "Voice4" / "other.parquet"
    ]


def test_shards_below_the_folder_are_pointed_at(tmp_path, raw_rows, write_shard):
    write_shard(tmp_path / "data" / "x.parquet", raw_rows(1))  # as `hf download --local-dir`
    hint = f"matches no parquet file; there are 1 in {tmp_path / 'data'}: give that"
    with pytest.raises(VoxtwistError, match=re.escape(hint)):
        find_shards(tmp_path)


def test_no_shards_and_equal_names_are_refused(tmp_path, raw_rows, write_shard):
    with pytest.raises(VoxtwistError, match="matches no parquet file"):
        find_shards(tmp_path)
    write_shard(tmp_path / "a" / "x.parquet", raw_rows(1))
    write_shard(tmp_path / "b" / "x.parquet", raw_rows(1))
    with pytest.raises(VoxtwistError, match="have the same name"):
        find_shards(tmp_path / "*" / "*.parquet")
