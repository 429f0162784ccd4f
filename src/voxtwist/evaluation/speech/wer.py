"""Word and character errors of a transcript against what should have been said."""

from collections.abc import Sequence
from dataclasses import dataclass

import jiwer

from voxtwist.evaluation.normalise import normalise_speech


@dataclass(frozen=True)
class Errors:
    """Edit distance of one utterance.

    Attributes:
        errors: substitutions + deletions + insertions.
        length: words (or characters) of the reference, at least 1: without any, an empty
            transcript is right and every other one counts as one whole error a word heard.
    """

    errors: int
    length: int

    @property
    def rate(self) -> float:
        return self.errors / self.length


def word_errors(reference: str, transcript: str) -> Errors:
    """Word errors after normalisation of both sides."""
    said, heard = normalise_speech(reference), normalise_speech(transcript)
    if not said or not heard:
        return _one_sided(said.split(), heard.split())
    return _count(jiwer.process_words(said, heard))


def character_errors(reference: str, transcript: str) -> Errors:
    """Character errors after normalisation of both sides, spaces included."""
    said, heard = normalise_speech(reference), normalise_speech(transcript)
    if not said or not heard:
        return _one_sided(said, heard)
    return _count(jiwer.process_characters(said, heard))


def error_rate(utterances: Sequence[Errors]) -> float:
    """All errors over all reference lengths (micro average): long utterances weigh more.

    Raises:
        ValueError: no utterances.
    """
    if not utterances:
        raise ValueError("error_rate needs at least one utterance")
    return sum(u.errors for u in utterances) / sum(u.length for u in utterances)


@dataclass(frozen=True)
class Span:
    """Neighbouring words that are alike in kind: "equal", "substitute", "delete" or "insert"."""

    kind: str
    reference: str
    transcript: str


def align_words(reference: str, transcript: str) -> list[Span]:
    """The alignment behind `word_errors`, in reading order, with normalised words."""
    said, heard = normalise_speech(reference).split(), normalise_speech(transcript).split()
    if not said or not heard:
        missing = Span("delete", " ".join(said), "") if said else None
        extra = Span("insert", "", " ".join(heard)) if heard else None
        return [span for span in (missing, extra) if span]
    chunks = jiwer.process_words(" ".join(said), " ".join(heard)).alignments[0]
    return [
        Span(
            chunk.type,
            " ".join(said[chunk.ref_start_idx : chunk.ref_end_idx]),
            " ".join(heard[chunk.hyp_start_idx : chunk.hyp_end_idx]),
        )
        for chunk in chunks
    ]


def _count(found: jiwer.WordOutput | jiwer.CharacterOutput) -> Errors:
    wrong = found.substitutions + found.deletions
    return Errors(wrong + found.insertions, found.hits + wrong)


def _one_sided(said: Sequence[str], heard: Sequence[str]) -> Errors:
    """jiwer takes no empty reference."""
    return Errors(len(said) + len(heard), max(len(said), 1))
