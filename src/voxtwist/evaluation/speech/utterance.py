"""What is measured on one spoken answer."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from sacrebleu import sentence_chrf

from voxtwist.evaluation.normalise import normalise_speech
from voxtwist.evaluation.speech.judges import Heard
from voxtwist.evaluation.speech.leak import Leak
from voxtwist.evaluation.speech.mos import Scores
from voxtwist.evaluation.speech.questions import Reference
from voxtwist.evaluation.speech.wer import Errors, character_errors, word_errors
from voxtwist.vocabulary import Spoken

_NGRAM = 4
_ERRORS = ("words", "characters", "reference_words", "reference_characters")
_SCORES = ("mos", "reference_mos")


@dataclass(frozen=True)
class Utterance:
    """A generated answer beside the reference; one row of samples.jsonl.

    Attributes:
        id: names its audio file, "heldout-numbers-01".
        text: what the model wrote; `transcript` is what the recogniser heard it say.
        words, characters: errors of the transcript against the model's own text. An answer that
            lacks its text or its speech is wholly wrong.
        reference_transcript, reference_words, reference_characters: the same for the data's own
            speech, through the codec: the ceiling of what can be reached.
        exact: text equal to the reference answer, after normalisation.
        chrf: character n-gram F-score of the text against the reference answer, 0 to 100.
        ended: closed its turn by itself, below the longest length.
        runaway: did not.
        out_of_span: tokens where their kind has no place, see `Spoken`.
        leaked_mass: probability of speech codes summed over the `text_tokens` of the text.
        repetition: share of the codes' 4-grams that occurred before.
        mos, reference_mos: DNSMOS of the two waveforms; None without speech, or when not asked for.
        utmos, reference_utmos: UTMOS, likewise.
        voice_similarity: cosine of the speaker's embedding with the prompt's, or where there is no
            prompt, with that of the data's own speech; None likewise.
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
    reference_characters: Errors
    exact: bool
    chrf: float
    well_formed: bool
    problem: str | None
    ended: bool
    runaway: bool
    out_of_span: int
    leaked_mass: float
    text_tokens: int
    n_codes: int
    reference_n_codes: int
    seconds: float
    repetition: float
    reference_repetition: float
    mos: Scores | None
    reference_mos: Scores | None
    utmos: float | None
    reference_utmos: float | None
    voice_similarity: float | None

    def as_row(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """The opposite of `as_row`, of a row that has been JSON."""
        errors = {name: Errors(**row[name]) for name in _ERRORS}
        scores = {name: Scores(**row[name]) if row[name] else None for name in _SCORES}
        return cls(**{**row, **errors, **scores})


def measure(
    name: str,
    reference: Reference,
    answer: Spoken,
    leak: Leak,
    heard: Heard,
    reference_heard: Heard,
    *,
    voice: np.ndarray | None,
    longest: int,
    frame_rate_hz: int,
) -> Utterance:
    """Put together what is known of one answer.

    Args:
        heard, reference_heard: the answer's speech, and the data's own through the codec.
        voice: the unit vector that the answer's voice should have.
        longest: codes that an answer may have; one that has as many ran away, even if the
            generation closed it in good form.
    """
    text, codes = answer.text.strip(), answer.codes
    words = word_errors(text, heard.transcript)
    characters = character_errors(text, heard.transcript)
    if not len(codes) or not normalise_speech(text):
        words, characters = (Errors(e.length, e.length) for e in (words, characters))
    runaway = len(codes) >= longest or not answer.ended
    return Utterance(
        id=name,
        group=reference.group,
        part=reference.part,
        index=reference.index,
        question=reference.question,
        answer=reference.answer,
        text=text,
        transcript=heard.transcript,
        words=words,
        characters=characters,
        reference_transcript=reference_heard.transcript,
        reference_words=word_errors(reference.answer, reference_heard.transcript),
        reference_characters=character_errors(reference.answer, reference_heard.transcript),
        exact=normalise_speech(text) == normalise_speech(reference.answer),
        chrf=sentence_chrf(text, [reference.answer]).score,
        well_formed=answer.well_formed,
        problem=answer.problem,
        ended=not runaway,
        runaway=runaway,
        out_of_span=answer.out_of_span,
        leaked_mass=leak.mass,
        text_tokens=leak.tokens,
        n_codes=len(codes),
        reference_n_codes=len(reference.codes),
        seconds=len(codes) / frame_rate_hz,
        repetition=repeated_ngrams(codes),
        reference_repetition=repeated_ngrams(reference.codes),
        mos=heard.mos,
        reference_mos=reference_heard.mos,
        utmos=heard.utmos,
        reference_utmos=reference_heard.utmos,
        voice_similarity=_cosine(heard.voice, voice),
    )


def _cosine(voice: np.ndarray | None, other: np.ndarray | None) -> float | None:
    """Of unit vectors."""
    return None if voice is None or other is None else float(np.dot(voice, other))


def repeated_ngrams(codes: np.ndarray, n: int = _NGRAM) -> float:
    """Share of n-grams that occurred before in the same answer (Welleck et al. 2020, seq-rep-n)."""
    ngrams = [tuple(codes[i : i + n].tolist()) for i in range(len(codes) - n + 1)]
    return 1 - len(set(ngrams)) / len(ngrams) if ngrams else 0.0
