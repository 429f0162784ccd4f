"""Reading what a model generated: its text, its speech codes, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from voxtwist.vocabulary.tokens import MODALITY_TOKENS, SpeechVocabulary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True)
class Spoken:
    """A generated answer.

    Attributes:
        text: the decoded text; of an answer that is not well formed, all text there is.
        codes: int64 speech codes (T,); of an answer that is not well formed, all codes there are.
        well_formed: text, then speech, then the end of the turn, every mark once and in order.
        problem: what is wrong, in words; None when well formed.
        ended: there is an ``<|im_end|>``, the model's own or one that it was constrained to.
        out_of_span: tokens that stand where their kind has no place: speech codes outside speech,
            text outside text, control tokens that are no modality marks.
    """

    text: str
    codes: np.ndarray
    well_formed: bool
    problem: str | None
    ended: bool = True
    out_of_span: int = 0


def parse_generated(
    ids: Sequence[int] | np.ndarray,
    vocabulary: SpeechVocabulary,
    tokenizer: PreTrainedTokenizerFast,
) -> Spoken:
    """Parses the ids that follow `ChatFormat.prompt_ids`; what is behind ``<|im_end|>`` is padding.

    Without ``<|im_end|>`` the answer "ended by length".
    """
    generated = np.asarray(ids, dtype=np.int64)
    ends = np.flatnonzero(generated == vocabulary.im_end)
    answer = generated[: ends[0]] if ends.size else generated
    control = [i for i in tokenizer.get_added_vocab().values() if i < vocabulary.text_size]
    is_text = (answer < vocabulary.text_size) & ~np.isin(answer, control)
    is_speech = vocabulary.is_speech(answer)
    problem = find_problem(answer, is_text, is_speech, vocabulary, ended=bool(ends.size))
    return Spoken(
        text=str(tokenizer.decode(answer[is_text].tolist())),
        codes=vocabulary.ids_to_codes(answer[is_speech]),
        well_formed=problem is None,
        problem=problem,
        ended=bool(ends.size),
        out_of_span=count_out_of_span(answer, is_text, is_speech, vocabulary),
    )


def count_out_of_span(
    answer: np.ndarray, is_text: np.ndarray, is_speech: np.ndarray, vocabulary: SpeechVocabulary
) -> int:
    """See `Spoken`; a span is open from its mark on (v1: speech from the first code on)."""
    if vocabulary.marks is None:
        in_speech = np.logical_or.accumulate(is_speech)
        return int((~np.where(in_speech, is_speech, is_text)).sum())
    text_start, text_end, speech_start, speech_end = vocabulary.marks
    in_text = np.cumsum(answer == text_start) > np.cumsum(answer == text_end)
    in_speech = np.cumsum(answer == speech_start) > np.cumsum(answer == speech_end)
    in_place = is_text & in_text & ~in_speech | is_speech & in_speech & ~in_text
    return int((~in_place & ~np.isin(answer, vocabulary.marks)).sum())


def find_problem(
    answer: np.ndarray,
    is_text: np.ndarray,
    is_speech: np.ndarray,
    vocabulary: SpeechVocabulary,
    ended: bool,
) -> str | None:
    """The first departure from ``<text> … </text> <speech> … </speech>`` (v1: text and speech)."""
    if vocabulary.marks is None:
        border = int(is_speech.argmax()) if is_speech.any() else len(answer)
        text, speech = slice(0, border), slice(border, len(answer))
    else:
        at = [np.flatnonzero(answer == mark) for mark in vocabulary.marks]
        for token, positions in zip(MODALITY_TOKENS, at, strict=True):
            if len(positions) > 1:
                return f"{token} more than once"
            if ended and not len(positions):
                return f"no {token}"
        if not ended and not all(map(len, at)):
            return "ended by length"
        first, text_end, speech_start, last = (int(positions[0]) for positions in at)
        if not first < text_end < speech_start < last:
            return "modality tokens out of order"
        if first != 0 or speech_start != text_end + 1 or last != len(answer) - 1:
            return "tokens outside text and speech"
        text, speech = slice(first + 1, text_end), slice(speech_start + 1, last)
    if is_speech[text].any():
        return "speech token inside text"
    if not is_text[text].all():
        return "control token inside text"
    if not is_speech[speech].all():
        return "other token inside speech"
    if not ended:
        return "ended by length"
    if not is_text[text].any():
        return "no text"
    return None if is_speech[speech].any() else "no speech"
