"""A user's own recordings as a raw shard, in the schema of the large data set."""

from __future__ import annotations

import os
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from voxtwist.codec.audio import read_audio
from voxtwist.codec.base import SpeechCodec
from voxtwist.codec.origin import Origin
from voxtwist.data.files import writing
from voxtwist.data.part import Counts
from voxtwist.data.raw import RAW_SCHEMA, with_origin
from voxtwist.errors import VoxtwistError

SHORTEST = 0.1  # seconds: no answer is shorter
SILENCE = 1e-3  # a peak under -60 dB of full scale: nobody speaks
ROWS_PER_GROUP = 256

UNREADABLE = "unreadable audio"
SHORT = "short audio"
SILENT = "silent audio"
BAD_METADATA = "metadata"


@dataclass(frozen=True)
class Recording:
    """One line of the metadata."""

    index: str
    question: str
    answer: str
    audio: Path


class UnusableRecordingError(Exception):
    """A row that is rejected: (reason, detail)."""


def tokenize_folder(
    folder: Path,
    metadata: Path,
    codec: SpeechCodec,
    output: Path,
    progress: Callable[[int], object] = lambda rows: None,
) -> Counts:
    """Encodes the recordings that a metadata file lists and writes one raw parquet shard.

    The shard's metadata say whose codes it holds: the codec's name, rate and number of codes.

    Args:
        folder: where the audio files are.
        metadata: JSONL with `question`, `answer` and `audio` (a path inside `folder`), and
            optionally `index`. Sample rates of `RATES` and any number of channels.
        output: the shard; rejected rows go to ``<name>.rejected.jsonl`` beside it.
        progress: called with 1 after every recording.

    Raises:
        VoxtwistError: no metadata, or no usable recording.
    """
    schema = with_origin(RAW_SCHEMA, Origin.of(codec))
    output.parent.mkdir(parents=True, exist_ok=True)
    rejected_file = output.with_suffix(".rejected.jsonl")
    rows_in = rows_out = 0
    rejected: Counter[str] = Counter()
    rows: list[dict[str, Any]] = []
    with (
        writing(rejected_file) as rejected_temporary,
        writing(output) as temporary,
        rejected_temporary.open("wb") as rejections,
        pq.ParquetWriter(temporary, schema) as writer,
    ):
        for number, line in read_lines(metadata):
            rows_in += 1
            try:
                rows.append(encode_recording(parse_line(line, number, folder), codec))
                rows_out += 1
            except UnusableRecordingError as error:
                reason, detail = error.args
                rejected[reason] += 1
                record = {"row": number, "reason": reason, "detail": detail}
                record["line"] = line.decode(errors="replace").strip()
                rejections.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))
            if len(rows) == ROWS_PER_GROUP:
                writer.write_table(pa.Table.from_pylist(rows, schema))
                rows = []
            progress(1)
        writer.write_table(pa.Table.from_pylist(rows, schema))
    if not rows_out:
        output.unlink()
        raise VoxtwistError(f"no recording can be used: see {rejected_file}")
    return Counts(rows_in, rows_out, dict(rejected))


def read_lines(metadata: Path) -> Iterator[tuple[int, bytes]]:
    """(line number from 0, line) of all lines that are not blank."""
    if not metadata.is_file():
        raise VoxtwistError(f"{metadata} does not exist")
    with metadata.open("rb") as file:
        for number, line in enumerate(file):
            line = line.removeprefix(BOM_UTF8) if number == 0 else line
            if line.strip():
                yield number, line


def parse_line(line: bytes, number: int, folder: Path) -> Recording:
    try:
        entry = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise UnusableRecordingError(BAD_METADATA, f"the line is not JSON: {error}") from None
    for name in ("question", "answer", "audio"):
        if not isinstance(entry, dict) or not isinstance(entry.get(name), str):
            raise UnusableRecordingError(BAD_METADATA, f"{name!r} is missing or not text")
    if not entry["answer"].strip():
        raise UnusableRecordingError(BAD_METADATA, "the answer is empty")
    # Told apart by the name alone: a folder may hold links to wherever the recordings are.
    audio = Path(os.path.normpath(entry["audio"]))  # `..` as far as the name alone says
    if audio.is_absolute() or audio.parts[:1] == ("..",):
        raise UnusableRecordingError(
            BAD_METADATA, f"audio {entry['audio'][:200]!r} is no path inside the audio folder"
        )
    index = str(entry.get("index", f"own-{number:05d}"))
    return Recording(index, entry["question"], entry["answer"], folder / audio)


def encode_recording(recording: Recording, codec: SpeechCodec) -> dict[str, Any]:
    """One row of `RAW_SCHEMA`."""
    try:
        waveform, rate = read_audio(recording.audio)
    except VoxtwistError as error:
        raise UnusableRecordingError(UNREADABLE, str(error)) from None
    if not np.isfinite(waveform).all():
        raise UnusableRecordingError(UNREADABLE, f"{recording.audio} has samples that are NaN")
    if len(waveform) < SHORTEST * rate:
        seconds = len(waveform) / rate
        raise UnusableRecordingError(SHORT, f"{recording.audio} lasts {seconds:.4f} s")
    if np.abs(waveform).max() < SILENCE:
        raise UnusableRecordingError(SILENT, f"{recording.audio} is below -60 dB throughout")
    try:
        codes = codec.encode(waveform, rate)
    except VoxtwistError as error:
        raise UnusableRecordingError(UNREADABLE, f"{recording.audio}: {error}") from None
    if not len(codes):
        raise UnusableRecordingError(UNREADABLE, f"{recording.audio} is too short for one code")
    return {
        "split_name": "train",
        "index": recording.index,
        "round": 1,
        "question": recording.question,
        "answer": recording.answer,
        "answer_cosyvoice_speech_token": codes,
    }
