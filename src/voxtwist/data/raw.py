"""Raw parquet in SLAM-Omni's schema: which files, what must be in them, and reading them.

Only the columns that are needed are read; ``question_audio`` is most of a file and never touched.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from voxtwist.codec.origin import Origin
from voxtwist.errors import VoxtwistError
from voxtwist.vocabulary import strip_speaker

SPEECH_COLUMN = "answer_cosyvoice_speech_token"
COLUMNS = ("index", "question", "answer", SPEECH_COLUMN)
PART_COLUMN = "part"  # of our own: SLAM-Omni's sets have none
_PART_OF_INDEX = re.compile(r"([^\W\d]+)-\d+")  # "numbers-00012"; no path, no UUID
_INT64 = np.iinfo(np.int64)
_LONGEST_PART = 60  # characters

# What Voxtwist writes; releases of the data set differ in `round` and carry further columns.
RAW_SCHEMA = pa.schema(
    [
        ("split_name", pa.string()),
        ("index", pa.string()),
        ("round", pa.int64()),
        ("question", pa.string()),
        ("answer", pa.string()),
        (SPEECH_COLUMN, pa.list_(pa.int64())),
    ]
)


def with_origin(schema: pa.Schema, origin: Origin) -> pa.Schema:
    """`schema` whose metadata says whose codes the file holds; what is None is left out."""
    said = {name: str(value) for name, value in asdict(origin).items() if value is not None}
    return schema.with_metadata({**(schema.metadata or {}), **said})


def read_origin(schema: pa.Schema, path: Path) -> Origin:
    """What `with_origin` wrote into the schema of `path`; published shards say nothing.

    Raises:
        VoxtwistError: an entry of the metadata is damaged.
    """
    metadata = schema.metadata or {}
    values: dict[str, object] = {}
    for field in fields(Origin):
        text = metadata.get(field.name.encode(), b"").decode(errors="replace")
        if text:
            values[field.name] = int(text) if text.isdecimal() and field.name != "codec" else text
    return Origin.read(values, str(path))


@dataclass(frozen=True)
class RawBatch:
    """Consecutive rows of a shard.

    Attributes:
        first_row: row number of the first one in its shard.
        index, question, answer: text; None where null. A single `question` has no ``<USER>: ``
            before it, a history has all its marks, see `split_turns`.
        part: of the corpus, see `part_name`; "all" for one that has none.
        undecodable: rows (of this batch) whose text is not UTF-8; their text is repaired for show.
        null_codes: rows (of this batch) whose list of codes is null.
        codes: int64, all rows' codes behind one another; a null code is -1, and one above int64
            the largest int64.
        offsets: int64 (rows + 1,), where each row's codes start in `codes`.
    """

    first_row: int
    index: list[str | None]
    question: list[str | None]
    answer: list[str | None]
    part: list[str]
    undecodable: set[int]
    null_codes: set[int]
    codes: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.question)

    def codes_of(self, row: int) -> np.ndarray:
        return self.codes[self.offsets[row] : self.offsets[row + 1]]


def find_shards(source: str | Path) -> list[Path]:
    """The parquet files of a folder, a glob pattern or one file, sorted by name.

    What exists by its name is no pattern: a folder may be called ``VoiceAssistant[400K]``.

    Raises:
        VoxtwistError: there are none, or two have the same name.
    """
    folder = Path(source)
    pattern = _literal_start(folder / "*.parquet" if folder.is_dir() else folder)
    found = map(Path, glob.glob(pattern, recursive=True))  # noqa: PTH207 (absolute patterns)
    shards = sorted(found, key=lambda path: (path.name, path))
    if not shards:
        below = sorted(folder.rglob("*.parquet")) if folder.is_dir() else []
        hint = f"; there are {len(below)} in {below[0].parent}: give that" if below else ""
        raise VoxtwistError(f"{source} matches no parquet file{hint}")
    for one, other in pairwise(shards):
        if one.name == other.name:
            raise VoxtwistError(
                f"{one} and {other} have the same name: shards are told apart by it"
            )
    return shards


def _literal_start(pattern: Path) -> str:
    """A pattern whose first parts, as far as they exist by their names, stand for themselves."""
    start = Path(pattern.anchor)
    rest = list(pattern.parts[1:] if pattern.anchor else pattern.parts)
    while rest and (start / rest[0]).exists():
        start /= rest.pop(0)
    return str(Path(glob.escape(str(start)), *rest))


def open_shard(path: Path) -> pq.ParquetFile:
    """Opens a shard and checks its columns; reads no more than the footer.

    Raises:
        VoxtwistError: no parquet file or a truncated one, a missing column, one of a wrong type,
            or two of one name.
    """
    try:
        file = pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise VoxtwistError(f"{path} is no complete parquet file: {error}") from None
    checks = {
        "index": ("text or integers", lambda t: is_text(t) or pa.types.is_integer(t)),
        "question": ("text", is_text),
        "answer": ("text", is_text),
        SPEECH_COLUMN: ("a list of integers", is_integer_list),
    }
    schema = file.schema_arrow
    if PART_COLUMN in schema.names:
        checks[PART_COLUMN] = checks["index"]
    for name, (expected, accepts) in checks.items():
        if name not in schema.names:
            raise VoxtwistError(
                f"{path} has no column {name!r} ({expected}); it has {', '.join(schema.names)}"
            )
        if schema.names.count(name) > 1:
            raise VoxtwistError(
                f"{path} has {schema.names.count(name)} columns {name!r}: keep the right one"
            )
        if not accepts(schema.field(name).type):
            raise VoxtwistError(
                f"{path}: column {name!r} is {schema.field(name).type}; expected {expected}"
            )
    return file


def read_batches(path: Path, rows: int | None = None, batch_rows: int = 512) -> Iterator[RawBatch]:
    """The first `rows` rows of a shard (all when None), some hundred at a time.

    Raises:
        VoxtwistError: see `open_shard`; also data pages that cannot be read.
    """
    left = rows
    first_row = 0
    try:
        with open_shard(path) as file:
            named = PART_COLUMN in file.schema_arrow.names
            columns = [*COLUMNS, PART_COLUMN] if named else list(COLUMNS)
            for batch in file.iter_batches(batch_rows, columns=columns, use_threads=False):
                if left is not None:
                    batch = batch.slice(0, left)
                    left -= len(batch)
                yield to_raw_batch(batch, first_row)
                first_row += len(batch)
                if left == 0:
                    return
    except (OSError, pa.ArrowException) as error:
        raise VoxtwistError(
            f"{path} cannot be read behind row {first_row}: {error}; fetch the file again"
        ) from None


def read_questions(path: Path) -> list[str]:
    """All questions of a shard without ``<USER>: ``; null ones are left out.

    Raises:
        VoxtwistError: see `read_batches`.
    """
    try:
        with open_shard(path) as file:
            column = file.read(columns=["question"], use_threads=False)["question"]
    except (OSError, pa.ArrowException) as error:
        raise VoxtwistError(f"{path} cannot be read: {error}; fetch the file again") from None
    texts = decode_text(column.combine_chunks(), set())
    return [strip_speaker(text) for text in texts if text is not None]


def to_raw_batch(batch: pa.RecordBatch, first_row: int) -> RawBatch:
    undecodable: set[int] = set()
    index, question, answer = (
        decode_text(batch.column(name), undecodable) for name in ("index", "question", "answer")
    )
    named = PART_COLUMN in batch.schema.names
    parts = decode_text(batch.column(PART_COLUMN), undecodable) if named else [None] * len(batch)
    lists = batch.column(SPEECH_COLUMN)
    values = lists.flatten()
    if pa.types.is_uint64(values.type):
        values = pc.min_element_wise(values, pa.scalar(_INT64.max, pa.uint64()), skip_nulls=False)
    lengths = pc.list_value_length(lists).fill_null(0).to_numpy()
    return RawBatch(
        first_row=first_row,
        index=index,
        question=[text and strip_speaker(text) for text in question],
        answer=answer,
        part=[part_name(*row) for row in zip(parts, index, strict=True)],
        undecodable=undecodable,
        null_codes=set(np.flatnonzero(lists.is_null().to_numpy(zero_copy_only=False)).tolist()),
        codes=values.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False),
        offsets=np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]),
    )


def part_name(part: str | None, index: str | None) -> str:
    """The row's part of the corpus, as file and metric names may have it.

    What the column `part` says, or else the word of an index such as "numbers-00012", or else
    "all". Any other index, a path or a UUID, names a row and no part.
    """
    found = _PART_OF_INDEX.fullmatch(index or "")
    name = part or (found[1] if found else "")
    return re.sub(r"[^\w.-]+", "_", name).strip("._")[:_LONGEST_PART] or "all"


def decode_text(column: pa.Array, undecodable: set[int]) -> list[str | None]:
    """A column as Python strings; rows that are not UTF-8 are repaired and noted."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        column = column.cast(pa.large_string())
    try:
        return list(column.to_pylist())
    except UnicodeDecodeError:
        texts: list[str | None] = []
        for row, data in enumerate(column.cast(pa.large_binary()).to_pylist()):
            text = None if data is None else data.decode(errors="replace")
            if text is not None and text.encode() != data:
                undecodable.add(row)
            texts.append(text)
        return texts


def is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return (
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def is_integer_list(kind: pa.DataType) -> bool:
    return (pa.types.is_list(kind) or pa.types.is_large_list(kind)) and pa.types.is_integer(
        kind.value_type
    )
