"""Word and character errors of a transcript against what should have been said."""

from collections.abc import Sequence
from dataclasses import dataclass

import jiwer

from voxtwist.evaluation.normalise import normalise


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
    return _count(normalise(reference).split(), normalise(transcript).split())


def character_errors(reference: str, transcript: str) -> Errors:
    """Character errors after normalisation of both sides, spaces included."""
    return _count(list(normalise(reference)), list(normalise(transcript)))


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
    said, heard = normalise(reference).split(), normalise(transcript).split()
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


def _count(reference: list[str], transcript: list[str]) -> Errors:
    if not reference or not transcript:
        return Errors(len(reference) + len(transcript), max(len(reference), 1))
    # Tokens as numbers, so that jiwer also takes single characters and spaces.
    number: dict[str, str] = {}
    said, heard = (
        " ".join(number.setdefault(token, str(len(number))) for token in side)
        for side in (reference, transcript)
    )
    found = jiwer.process_words(said, heard)
    return Errors(found.substitutions + found.deletions + found.insertions, len(reference))
