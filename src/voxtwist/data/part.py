"""One raw shard to one part of the SFT file: the unit of work of threads, SLURM arrays and Ray."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from voxtwist.codec.origin import Origin
from voxtwist.data.files import write_atomically
from voxtwist.data.jsonl import sample_line
from voxtwist.data.raw import RawBatch, read_batches, with_origin
from voxtwist.data.reject import OVER_MAX_LENGTH, Rejection, SpeechRate, find_rejections
from voxtwist.errors import VoxtwistError
from voxtwist.vocabulary import ChatFormat, Sample, split_turns

# One row for every line of the SFT file: where it comes from and what it says. The file's metadata
# say whose codes they are, see `raw.read_origin`.
ROWS_SCHEMA = pa.schema(
    [
        ("shard", pa.string()),
        ("row", pa.int32()),
        ("index", pa.string()),
        ("question", pa.string()),
        ("answer", pa.string()),
        ("part", pa.string()),
        ("n_tokens", pa.int32()),
        ("n_codes", pa.int32()),
    ]
)


@dataclass(frozen=True)
class ConvertSettings:
    """What decides the bytes of a part, beside its shard.

    Attributes:
        chat: the compiled chat format.
        frame_rate_hz: the codec's codes per second.
        max_length: tokens a sample may have; None for any number. No sample is ever cut.
        too_long: "reject" samples over `max_length`, or "keep" them whole.
        rate: how much speech a text may have.
        codec: the codec's name; None takes shards of any name.
    """

    chat: ChatFormat
    frame_rate_hz: int
    max_length: int | None = None
    too_long: str = "reject"
    rate: SpeechRate = field(default_factory=SpeechRate)
    codec: str | None = None

    def __post_init__(self) -> None:
        if self.too_long not in ("reject", "keep"):
            raise VoxtwistError(f"too_long is {self.too_long!r}; it must be reject or keep")
        if self.max_length is not None and self.max_length < 1:
            raise VoxtwistError(f"max_length is {self.max_length}; it must be at least 1")

    @property
    def origin(self) -> Origin:
        """Whose codes are converted."""
        return Origin(self.codec, self.frame_rate_hz, self.chat.vocabulary.n_codes)


@dataclass(frozen=True)
class Part:
    """The files of one converted shard; `done` is written last, so it stands for all of them."""

    folder: Path
    number: int

    def path(self, suffix: str) -> Path:
        return self.folder / f"{self.number:05d}.{suffix}"

    @property
    def jsonl(self) -> Path:
        return self.path("jsonl")

    @property
    def rows(self) -> Path:
        return self.path("rows.parquet")

    @property
    def rejected(self) -> Path:
        return self.path("rejected.jsonl")

    @property
    def done(self) -> Path:
        return self.path("done.json")

    def read_counts(self) -> Counts | None:
        """The counts of a finished part; None while it is not finished."""
        try:
            return Counts(**orjson.loads(self.done.read_bytes()))
        except FileNotFoundError:
            return None


@dataclass(frozen=True)
class Counts:
    """Rows read, samples written, and rows rejected by reason: the first is the sum of the others.

    Raises:
        VoxtwistError: it is not.
    """

    rows_in: int
    rows_out: int
    rejected: dict[str, int]

    def __post_init__(self) -> None:
        if self.rows_in != self.rows_out + sum(self.rejected.values()):
            raise VoxtwistError(f"rows were lost: {self}")

    def __add__(self, other: Counts) -> Counts:
        rejected = Counter(self.rejected) + Counter(other.rejected)
        return Counts(self.rows_in + other.rows_in, self.rows_out + other.rows_out, dict(rejected))


def convert_shard(shard: Path, rows: int, part: Part, settings: ConvertSettings) -> Counts:
    """Converts the first `rows` rows of a shard; a part that is finished is not made again.

    Raises:
        VoxtwistError: the shard cannot be read, or does not have that many rows.
    """
    counts = part.read_counts()
    if counts is not None:
        return counts
    rows_in = rows_out = 0
    rejected: Counter[str] = Counter()
    final = (part.jsonl, part.rows, part.rejected)
    # A name of its own for every writer: two that make the same part do not disturb each other.
    temporary = [path.with_name(f"{path.name}.{os.getpid()}.tmp") for path in final]
    with (
        temporary[0].open("wb") as lines,
        pq.ParquetWriter(
            temporary[1], with_origin(ROWS_SCHEMA, settings.origin), compression="zstd"
        ) as table,
        temporary[2].open("wb") as rejections,
    ):
        for batch in read_batches(shard, rows):
            kept, samples, found = convert_batch(batch, settings)
            lines.write(b"".join(map(sample_line, samples)))
            table.write_batch(rows_table(shard.name, batch, kept, samples))
            for row, rejection in sorted(found.items()):
                rejections.write(rejection_line(shard.name, batch, row, rejection))
            rows_in += len(batch)
            rows_out += len(samples)
            rejected.update(rejection.reason for rejection in found.values())
    counts = Counts(rows_in, rows_out, dict(rejected))
    if rows_in != rows:
        raise VoxtwistError(f"{shard} has {rows_in} rows, not {rows}: it changed while it was read")
    for source, target in zip(temporary, final, strict=True):
        source.replace(target)
    write_atomically(part.done, orjson.dumps(counts))
    return counts


def convert_batch(
    batch: RawBatch, settings: ConvertSettings
) -> tuple[list[int], list[Sample], dict[int, Rejection]]:
    """Rows kept, their samples, and the others with reasons (rows count from the batch's first)."""
    found = find_rejections(
        batch, settings.chat.vocabulary.n_codes, settings.frame_rate_hz, settings.rate
    )
    kept = [row for row in range(len(batch)) if row not in found]
    samples = settings.chat.encode_batch(
        [split_turns(batch.question[row] or "") for row in kept],
        [batch.answer[row] or "" for row in kept],
        [batch.codes_of(row) for row in kept],
    )
    limit = settings.max_length
    if limit is None or settings.too_long == "keep":
        return kept, samples, found
    for row, sample in zip(kept, samples, strict=True):
        if len(sample.input_ids) > limit:
            detail = f"{len(sample.input_ids)} tokens; max_length is {limit}"
            found[row] = Rejection(OVER_MAX_LENGTH, detail)
    fitting = [(r, s) for r, s in zip(kept, samples, strict=True) if r not in found]
    return [row for row, _ in fitting], [sample for _, sample in fitting], found


def rows_table(
    shard: str, batch: RawBatch, kept: Sequence[int], samples: Sequence[Sample]
) -> pa.RecordBatch:
    columns = [
        pa.repeat(shard, len(kept)),
        [batch.first_row + row for row in kept],
        [batch.index[row] for row in kept],
        [batch.question[row] for row in kept],
        [batch.answer[row] for row in kept],
        [batch.part[row] for row in kept],
        [len(sample.input_ids) for sample in samples],
        np.diff(batch.offsets)[list(kept)],
    ]
    arrays = [pa.array(c, field.type) for c, field in zip(columns, ROWS_SCHEMA, strict=True)]
    return pa.record_batch(arrays, schema=ROWS_SCHEMA)


def rejection_line(shard: str, batch: RawBatch, row: int, rejection: Rejection) -> bytes:
    record = {
        "shard": shard,
        "row": batch.first_row + row,
        "index": batch.index[row],
        "reason": rejection.reason,
        "detail": rejection.detail,
        "question": batch.question[row],
        "answer": batch.answer[row],
        "n_codes": len(batch.codes_of(row)),
    }
    return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
