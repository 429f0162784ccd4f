"""Which raw rows cannot be trained on, and why."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from voxtwist.data.raw import RawBatch
from voxtwist.vocabulary import split_turns

NULL = "null"
NOT_UTF8 = "not UTF-8"
EMPTY_ANSWER = "empty answer"
NO_SPEECH = "no speech"
CODE_RANGE = "code out of range"
TOO_SHORT = "too little speech for its text"
TOO_LONG = "too much speech for its text"
BAD_HISTORY = "turns of the question"
OVER_MAX_LENGTH = "over max_length"


@dataclass(frozen=True)
class SpeechRate:
    """How much speech an answer of n characters may have: what no reader can do is misaligned data.

    People and TTS voices speak 10 to 20 characters a second (Chinese: 3 to 5), single digits and
    abbreviations one. The range is far wider: only mistakes fall outside.

    Attributes:
        min_seconds: seconds per character at least.
        max_seconds: seconds per character at most ...
        silence: ... plus this many seconds of silence around.
    """

    min_seconds: float = 0.02
    max_seconds: float = 1.0
    silence: float = 2.0


@dataclass(frozen=True)
class Rejection:
    """Why a row is left out: one of the reasons above, and the detail that shows it."""

    reason: str
    detail: str


def find_rejections(
    batch: RawBatch, n_codes: int, frame_rate_hz: int, rate: SpeechRate
) -> dict[int, Rejection]:
    """The unusable rows of a batch, by row in the batch; the first reason found counts.

    Args:
        n_codes, frame_rate_hz: of the codec: how many codes it has, and its codes per second.
    """
    found: dict[int, Rejection] = {}
    for name, texts in (("question", batch.question), ("answer", batch.answer)):
        for row, text in enumerate(texts):
            if text is None:
                found.setdefault(row, Rejection(NULL, f"{name} is null"))
    for row in batch.null_codes:
        found.setdefault(row, Rejection(NULL, "the list of speech codes is null"))
    for row in batch.undecodable:
        found.setdefault(row, Rejection(NOT_UTF8, "the text has bytes that are not UTF-8"))
    for row, text in enumerate(batch.answer):
        if row not in found and text is not None and not text.strip():
            found[row] = Rejection(EMPTY_ANSWER, f"the answer is {text!r}")
    for row, text in enumerate(batch.question):
        try:
            split_turns(text or "")
        except ValueError as error:
            found.setdefault(row, Rejection(BAD_HISTORY, str(error)))
    lengths = np.diff(batch.offsets)
    for row in np.flatnonzero(lengths == 0).tolist():
        found.setdefault(row, Rejection(NO_SPEECH, "there are no speech codes"))
    bad = np.flatnonzero((batch.codes < 0) | (batch.codes >= n_codes))
    rows, first = np.unique(np.searchsorted(batch.offsets, bad, "right") - 1, return_index=True)
    for row, position in zip(rows.tolist(), bad[first].tolist(), strict=True):
        code, place = batch.codes[position], position - batch.offsets[row]
        code = f"{code} or more" if code == np.iinfo(np.int64).max else code
        detail = f"code {code} at place {place}; allowed are 0 to {n_codes - 1}"
        found.setdefault(row, Rejection(CODE_RANGE, detail))
    seconds = lengths / frame_rate_hz
    characters = np.array([len(text.strip()) if text else 0 for text in batch.answer])
    detail = "{:.2f} s of speech for {} characters"
    for row in np.flatnonzero(seconds < characters * rate.min_seconds).tolist():
        found.setdefault(row, Rejection(TOO_SHORT, detail.format(seconds[row], characters[row])))
    for row in np.flatnonzero(seconds > characters * rate.max_seconds + rate.silence).tolist():
        found.setdefault(row, Rejection(TOO_LONG, detail.format(seconds[row], characters[row])))
    return found
