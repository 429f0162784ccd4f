"""Text to ids with no control tokens in sight, and each word's ids found only once."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from itertools import chain
from typing import Any

from tokenizers import Tokenizer

# Words of printable ASCII between single spaces; newlines only inside the first of them.
SPACED_WORDS = re.compile(r"[!-~\n]*[!-~](?: [!-~]+)*")

# How the tokenizers of GPT-2, Llama 3 and Qwen cut text before BPE, which sees one piece at a time.
# Read from left to right, none of these patterns matches over the place between a word and the
# space after it, none looks back over it, and only runs of spaces look ahead. So " word" has the
# same ids in every text of the form above.
CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
WORD_PATTERNS = tuple(
    rf"{CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    for digits in (r"\p{N}", r"\p{N}{1,3}")
)

CACHED_WORDS = 200_000  # some tens of MB; English text has about as many


class TextEncoder:
    """A tokenizer without control tokens, to which ``<|im_end|>`` is only text.

    The regular expressions that cut text into words take nine tenths of a tokenizer's time, and
    most words are the same few thousand: they are cut at spaces and looked up, wherever that is
    known to give the same ids. All other text goes through the tokenizer in Rust threads.

    Attributes:
        digest: 16 hex digits that change with the tokenizer.
    """

    def __init__(self, state: str, digest: str | None = None) -> None:
        """Args: a fast tokenizer's JSON; its digest, when known."""
        self.tokenizer = Tokenizer.from_str(state)
        self.digest = digest or hashlib.blake2b(state.encode(), digest_size=8).hexdigest()
        self._cuts_at_spaces = cuts_at_spaces(json.loads(state))
        self._first = _Words(self.tokenizer, "")
        self._following = _Words(self.tokenizer, " ")

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return TextEncoder, (self.tokenizer.to_str(), self.digest)

    def encode(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        spaced = [bool(self._cuts_at_spaces and SPACED_WORDS.fullmatch(text)) for text in texts]
        others = [text for text, simple in zip(texts, spaced, strict=True) if not simple]
        encoded = iter(self.tokenizer.encode_batch_fast(others, add_special_tokens=False))
        return [
            self._look_up(text) if simple else next(encoded).ids
            for text, simple in zip(texts, spaced, strict=True)
        ]

    def _look_up(self, text: str) -> list[int]:
        first, *following = text.split(" ")
        return [*self._first[first], *chain.from_iterable(map(self._following.get_ids, following))]


class _Words(dict[str, list[int]]):
    """Ids of words with a prefix; those not yet known are encoded."""

    def __init__(self, tokenizer: Tokenizer, prefix: str) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.prefix = prefix
        self.get_ids = self.__getitem__

    def __missing__(self, word: str) -> list[int]:
        if len(self) >= CACHED_WORDS:
            self.clear()
        ids = self.tokenizer.encode(self.prefix + word, add_special_tokens=False).ids
        self[word] = ids
        return list(ids)


def cuts_at_spaces(state: dict[str, Any]) -> bool:
    """Whether a tokenizer's JSON is of a kind for which the remark on `WORD_PATTERNS` is known."""
    model, normalizer = state["model"], state["normalizer"] or {"type": "NFC"}
    if (model["type"], model["dropout"], normalizer["type"]) != ("BPE", None, "NFC"):
        return False
    pre_tokenizer = state["pre_tokenizer"] or {"type": None}
    *splits, byte_level = pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    if byte_level["type"] != "ByteLevel" or byte_level["add_prefix_space"]:
        return False
    if byte_level["use_regex"]:  # GPT-2's pattern
        return not splits
    return [split["type"] for split in splits] == ["Split"] and (
        splits[0]["pattern"].get("Regex") in WORD_PATTERNS
        and (splits[0]["behavior"], splits[0]["invert"]) == ("Isolated", False)
    )
