"""The embedded corpus as parquet shards in SLAM-Omni's schema."""

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.progress import track

from voxtwist.codec.base import SpeechCodec
from voxtwist.codec.origin import Origin
from voxtwist.corpus.codec import codec_answers
from voxtwist.corpus.everyday import everyday, trivia_questions
from voxtwist.corpus.numbers import numbers
from voxtwist.corpus.talk import talk
from voxtwist.corpus.voice import SAMPLE_RATE, speak
from voxtwist.data.raw import RAW_SCHEMA, with_origin
from voxtwist.params import Corpus

# SLAM-Omni's columns in its order, those included that Voxtwist itself never reads.
_AUDIO = pa.field("question_audio", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
SCHEMA = RAW_SCHEMA.insert(RAW_SCHEMA.get_field_index("answer"), _AUDIO).append(
    pa.field("answer_snac", pa.string())
)


def build_shards(settings: Corpus, codec: SpeechCodec, seed: int, folder: Path) -> int:
    """Speak and encode the questions' answers; write the shards; return the number of rows."""
    taken = codec_answers(seed)
    rows = [
        *label("everyday", everyday(settings.everyday, seed, trivia_questions())),
        *label("numbers", numbers(settings.numbers, seed, taken)),
        *label("talk", talk(settings.talk, seed, taken)),
    ]
    random.Random(seed).shuffle(rows)
    waves = speak(answer for _, _, answer in track(rows, description="speaking answers"))
    codes = [codec.encode(wave, SAMPLE_RATE) for wave in waves]
    folder.mkdir(parents=True, exist_ok=True)
    for shard, chosen in enumerate(np.array_split(np.arange(len(rows)), settings.shards)):
        name = f"train-{shard:05d}-of-{settings.shards:05d}.parquet"
        own_codes = [codes[i] for i in chosen]
        write_shard([rows[i] for i in chosen], own_codes, Origin.of(codec), folder / name)
    return len(rows)


def label(part: str, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str, str]]:
    """(index, question, answer): the index starts with the corpus part, "numbers-00017"."""
    return [(f"{part}-{i:05d}", question, answer) for i, (question, answer) in enumerate(pairs)]


def write_shard(
    rows: list[tuple[str, str, str]], codes: list[np.ndarray], origin: Origin, file: Path
) -> None:
    """In SLAM-Omni's schema. The questions' audio is left empty: nobody reads it."""
    columns = {
        "split_name": ["train"] * len(rows),
        "index": [index for index, _, _ in rows],
        "round": [1] * len(rows),
        "question": [question for _, question, _ in rows],
        "question_audio": [None] * len(rows),
        "answer": [answer for _, _, answer in rows],
        "answer_cosyvoice_speech_token": codes,
        "answer_snac": [None] * len(rows),
    }
    pq.write_table(pa.table(columns, schema=with_origin(SCHEMA, origin)), file)
