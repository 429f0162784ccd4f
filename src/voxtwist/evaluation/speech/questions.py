"""Which questions the spoken answers are judged on: held-out ones, and taught ones beside them."""

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from voxtwist.data.files import rows_path
from voxtwist.data.index import TokenIndex
from voxtwist.data.overlap import parts_of
from voxtwist.errors import VoxtwistError
from voxtwist.evaluation.held_out import is_trained
from voxtwist.vocabulary import SpeechVocabulary

HELD_OUT, TAUGHT = "heldout", "taught"


@dataclass(frozen=True)
class Reference:
    """A question with the answer that the data give.

    Attributes:
        group: "heldout" or "taught".
        part: part of the corpus, such as "numbers"; "all" in data without parts.
        index: the row's name in the data.
        codes: int64 (T,), the answer's speech.
    """

    group: str
    part: str
    index: str
    question: str
    answer: str
    codes: np.ndarray


def choose_questions(
    split: Path,
    group: str,
    vocabulary: SpeechVocabulary,
    count: int,
    seed: int,
    trained: np.ndarray | None = None,
) -> list[Reference]:
    """`count` rows of each part of a split (all, where a part has fewer), by a seeded draw.

    Args:
        split: SFT JSONL with its table of rows beside it.
        trained: hashes of questions that are not to be asked, see `trained_hashes`.

    Raises:
        VoxtwistError: the split or its table of rows is missing, or no row may be asked.
    """
    table = rows_path(split)
    if not table.exists():
        raise VoxtwistError(f"{table} is missing: run convert and split again")
    columns = pq.ParquetFile(table).read(["index", "question", "answer", "part"])
    rows = columns.to_pylist()
    asked = np.ones(len(rows), dtype=bool)
    if trained is not None:
        asked = ~is_trained((row["question"] for row in rows), trained)
    if not asked.any():
        raise VoxtwistError(
            f"every question of {split} is also in the training split: split again with "
            "data.group_by: [question]"
        )
    named = parts_of(columns)
    parts: dict[str, list[int]] = {}
    for number in np.flatnonzero(asked).tolist():
        parts.setdefault(named[number], []).append(number)
    samples = TokenIndex.open(split)
    chosen = []
    for part, numbers in sorted(parts.items()):
        drawn = random.Random(seed).sample(numbers, min(count, len(numbers)))
        for number in sorted(drawn):
            ids = samples.read(number)["input_ids"]
            codes = vocabulary.ids_to_codes(ids[vocabulary.is_speech(ids)])
            row = rows[number]
            chosen.append(
                Reference(group, part, row["index"], row["question"], row["answer"], codes)
            )
    return chosen
