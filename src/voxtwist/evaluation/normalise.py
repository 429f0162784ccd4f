"""The text normaliser shared by every word and character error rate.

Whisper's English normaliser (Radford et al. 2022, appendix C; here in transformers) writes numbers
as digits and expands contractions. Speech recognisers also write "9 + 37 = 46", "8:31" and
"September 9" for what was said as "plus", "eight thirty one" and "ninth": the rules here make these
agree.
"""

import re
from functools import lru_cache

from transformers.models.whisper.english_normalizer import (
    EnglishNumberNormalizer,
    EnglishTextNormalizer,
)

_MONTHS = "january|february|march|april|may|june|july|august|september|october|november|december"

# Before Whisper's rules, which would drop the signs and split the clock times.
_SPOKEN_FORMS = [
    (re.compile("[\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}]"), "'"),
    (re.compile(r"\bcannot\b", re.I), "can not"),
    (re.compile(r"\bo'clock\b", re.I), "oclock"),
    (re.compile(r"\b([ap])\. ?m\b\.?", re.I), r"\1m"),
    (re.compile(r"\b(\d{1,2}):00\b"), r"\1 oclock"),
    (re.compile(r"\b(\d{1,2}):([0-5]\d)\b"), r"\1\2"),
    (re.compile("(?<=\\d)\\s*[-\N{MINUS SIGN}\N{EN DASH}]\\s*(?=\\d{1,3}\\b)"), " minus "),
    (re.compile(r"\+"), " plus "),
    (re.compile("\N{MULTIPLICATION SIGN}"), " times "),
    # "=" is read as "is" or as "equals": a transcript cannot tell which was said.
    (re.compile(r"=|\bequals\b", re.I), " is "),
]

# After them: Whisper alone writes 1 as "one"; "8 31" is the clock time 831, and "September 9th" is
# "September 9".
_WRITTEN_FORMS = [
    (re.compile(r"\bone\b"), "1"),
    (re.compile(r"\b(1[0-2]|[1-9]) ([0-5]\d)\b"), r"\1\2"),
    (re.compile(rf"\b({_MONTHS}) (?:the )?(\d{{1,2}})(?:st|nd|rd|th)\b"), r"\1 \2"),
]

_SPELLINGS = {"ok": "okay"}  # beside its British-American table, which is a download


class _Numbers(EnglishNumberNormalizer):
    """Whisper's number rules, with the missing "ninth", and "plus" and "minus" as words."""

    def __init__(self) -> None:
        super().__init__()
        self.ones_ordinal["ninth"] = self.ones_suffixed["ninth"] = (9, "th")
        self.words = (self.words | {"ninth"}) - set(self.preceding_prefixers)
        self.preceding_prefixers = {}


@lru_cache(maxsize=1)
def _whisper() -> EnglishTextNormalizer:
    normaliser = EnglishTextNormalizer(_SPELLINGS)
    normaliser.standardize_numbers = _Numbers()
    return normaliser


def normalise_speech(text: str) -> str:
    """Text as spoken or as transcribed -> lower-case words and digits with single spaces.

    >>> normalise_speech("Nine plus thirty-seven is forty six.") == normalise_speech("9 + 37 = 46")
    True
    """
    for pattern, spoken in _SPOKEN_FORMS:
        text = pattern.sub(spoken, text)
    text = _whisper()(text)
    for pattern, written in _WRITTEN_FORMS:
        text = pattern.sub(written, text)
    return " ".join(text.split())
