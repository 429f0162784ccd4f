"""What is measured on one spoken answer."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from sacrebleu import sentence_chrf

from voxtwist.evaluation.mos import Scores
from voxtwist.evaluation.normalise import normalise
from voxtwist.evaluation.questions import Reference
from voxtwist.evaluation.wer import Errors, character_errors, word_errors

_NGRAM = 4


@dataclass(frozen=True)
class Utterance:
    """A generated answer beside the reference; one row of samples.jsonl.

    Attributes:
        id: names its audio file, "heldout-numbers-01".
        text: what the model wrote; `transcript` is what the recogniser heard it say.
        words, characters: errors of the transcript against the model's own text. An answer that
            lacks its text or its speech is wholly wrong.
        reference_transcript, reference_words: the same for the data's own speech, through the
            codec: the ceiling of what can be reached.
        exact: text equal to the reference answer, after normalisation.
        chrf: character n-gram F-score of the text against the reference answer, 0 to 100.
        runaway: did not end by itself.
        repetition: share of the codes' 4-grams that occurred before.
        mos, reference_mos: of the two waveforms; None without speech, or when not asked for.
    """

    id: str
    group: str
    part: str
    index: str
    question: str
    answer: str
    text: str
    transcript: str
    words: Errors
    characters: Errors
    reference_transcript: str
    reference_words: Errors
    exact: bool
    chrf: float
    well_formed: bool
    problem: str | None
    runaway: bool
    n_codes: int
    reference_n_codes: int
    seconds: float
    repetition: float
    reference_repetition: float
    mos: Scores | None
    reference_mos: Scores | None

    def as_row(self) -> dict[str, Any]:
        return asdict(self)


def measure(
    name: str,
    reference: Reference,
    *,
    text: str,
    codes: np.ndarray,
    well_formed: bool,
    problem: str | None,
    runaway: bool,
    transcript: str,
    reference_transcript: str,
    frame_rate_hz: int,
    mos: Scores | None,
    reference_mos: Scores | None,
) -> Utterance:
    """Args: see `Utterance`; `codes` (T,) are the answer's speech."""
    words, characters = word_errors(text, transcript), character_errors(text, transcript)
    if not len(codes) or not normalise(text):
        words, characters = (
            Errors(words.length, words.length),
            Errors(characters.length, characters.length),
        )
    return Utterance(
        id=name,
        group=reference.group,
        part=reference.part,
        index=reference.index,
        question=reference.question,
        answer=reference.answer,
        text=text,
        transcript=transcript,
        words=words,
        characters=characters,
        reference_transcript=reference_transcript,
        reference_words=word_errors(reference.answer, reference_transcript),
        exact=normalise(text) == normalise(reference.answer),
        chrf=sentence_chrf(text, [reference.answer]).score,
        well_formed=well_formed,
        problem=problem,
        runaway=runaway,
        n_codes=len(codes),
        reference_n_codes=len(reference.codes),
        seconds=len(codes) / frame_rate_hz,
        repetition=repeated_ngrams(codes),
        reference_repetition=repeated_ngrams(reference.codes),
        mos=mos,
        reference_mos=reference_mos,
    )


def repeated_ngrams(codes: np.ndarray, n: int = _NGRAM) -> float:
    """Share of n-grams that occurred before in the same answer (Welleck et al. 2020, seq-rep-n)."""
    ngrams = [tuple(codes[i : i + n].tolist()) for i in range(len(codes) - n + 1)]
    return 1 - len(set(ngrams)) / len(ngrams) if ngrams else 0.0
