"""Which ids are text, which are modality marks, and which are speech codes."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from tokenizers import AddedToken

from voxtwist.errors import VoxtwistError
from voxtwist.vocabulary.settled import settle_template

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from transformers import PreTrainedTokenizerFast

FORMATS = ("v1", "v1.1")
MODALITY_TOKENS = ("<text>", "</text>", "<speech>", "</speech>")
END_OF_TURN = "<|im_end|>"


def speech_token(code: int) -> str:
    """The token that stands for one code of the codec: 17 -> ``<|s_17|>``."""
    return f"<|s_{code}|>"


def extend_tokenizer(
    tokenizer: PreTrainedTokenizerFast, n_codes: int, fmt: str
) -> PreTrainedTokenizerFast:
    """A copy of a text tokenizer with the speech tokens appended to its vocabulary.

    Format "v1.1" adds the four modality tokens (special) before the speech tokens; "v1" has none.
    Speech tokens are not special, so that ``skip_special_tokens`` does not drop them.
    Its chat template asks what is trained, see `settle_template`.

    Raises:
        VoxtwistError: an unknown format, no codes, a tokenizer that is already extended, or a
            template that `settle_template` refuses.
    """
    if fmt not in FORMATS:
        raise VoxtwistError(f"format is {fmt!r}; it must be one of {', '.join(FORMATS)}")
    if n_codes < 1:
        raise VoxtwistError(f"the codec has {n_codes} codes; at least 1 is needed")
    modality = MODALITY_TOKENS if fmt == "v1.1" else ()
    speech = [speech_token(code) for code in range(n_codes)]
    taken = set(tokenizer.get_vocab()).intersection((*MODALITY_TOKENS, *speech))
    if taken:
        raise VoxtwistError(
            f"the tokenizer already has {sorted(taken)[0]}: start from the base model's tokenizer"
        )
    extended = copy.deepcopy(tokenizer)
    extended.add_tokens(
        [AddedToken(token, special=True, normalized=False) for token in modality],
        special_tokens=True,
    )
    extended.add_tokens([AddedToken(token, special=False, normalized=False) for token in speech])
    if extended.chat_template is not None:
        settle_template(extended)
    return extended


@dataclass(frozen=True)
class SpeechVocabulary:
    """The ids of an extended tokenizer.

    Attributes:
        text_size: number of text ids, which is the first id behind the text vocabulary.
        n_codes: number of speech codes.
        code_offset: id of code 0; code c has id ``code_offset + c``.
        text_start, text_end, speech_start, speech_end: modality ids; None in format v1.
        im_end: id that ends a turn.
    """

    text_size: int
    n_codes: int
    code_offset: int
    text_start: int | None
    text_end: int | None
    speech_start: int | None
    speech_end: int | None
    im_end: int

    @classmethod
    def from_tokenizer(cls, tokenizer: PreTrainedTokenizerFast) -> SpeechVocabulary:
        """Reads the ids off a tokenizer made by `extend_tokenizer` (or loaded from a checkpoint).

        Raises:
            VoxtwistError: no speech tokens, ids with gaps, or no ``<|im_end|>`` (not ChatML).
        """
        ids = tokenizer.get_added_vocab()
        if END_OF_TURN not in ids:
            raise VoxtwistError(
                f"the tokenizer has no {END_OF_TURN}: Voxtwist needs a ChatML model (Qwen, SmolLM2)"
            )
        if speech_token(0) not in ids:
            raise VoxtwistError(
                f"the tokenizer has no speech tokens ({speech_token(0)}): "
                "take the one in the checkpoint that `twist` wrote"
            )
        offset = ids[speech_token(0)]
        n_codes = 0
        while ids.get(speech_token(n_codes)) == offset + n_codes:
            n_codes += 1
        text_start, text_end, speech_start, speech_end = map(ids.get, MODALITY_TOKENS)
        marks = [ids[token] for token in MODALITY_TOKENS if token in ids]
        if len(tokenizer) != offset + n_codes or marks not in ([], [*range(offset - 4, offset)]):
            raise VoxtwistError(
                "the tokenizer's modality and speech tokens are not one block after its text "
                "vocabulary: make it with `twist` from the base model's tokenizer"
            )
        return cls(
            text_size=offset - len(marks),
            n_codes=n_codes,
            code_offset=offset,
            text_start=text_start,
            text_end=text_end,
            speech_start=speech_start,
            speech_end=speech_end,
            im_end=ids[END_OF_TURN],
        )

    @property
    def size(self) -> int:
        """Total number of ids: text, modality and speech."""
        return self.code_offset + self.n_codes

    @property
    def marks(self) -> tuple[int, int, int, int] | None:
        """Ids of `MODALITY_TOKENS`; None in format v1."""
        # The four are one block: see `from_tokenizer`.
        first = self.text_start
        return None if first is None else (first, first + 1, first + 2, first + 3)

    @property
    def format(self) -> str:
        return "v1" if self.text_start is None else "v1.1"

    def codes_to_ids(self, codes: ArrayLike) -> np.ndarray:
        """Codes in ``[0, n_codes)`` -> int64 ids of the same shape."""
        codes = np.asarray(codes, dtype=np.int64)
        if codes.size and not (codes.min() >= 0 and codes.max() < self.n_codes):
            raise VoxtwistError(
                f"codes range from {codes.min()} to {codes.max()}; "
                f"this vocabulary has 0 to {self.n_codes - 1}"
            )
        return codes + self.code_offset

    def ids_to_codes(self, ids: ArrayLike) -> np.ndarray:
        """Speech ids -> int64 codes of the same shape."""
        ids = np.asarray(ids, dtype=np.int64)
        if not self.is_speech(ids).all():
            raise VoxtwistError("ids_to_codes was given ids that are not speech ids")
        return ids - self.code_offset

    def is_speech(self, ids: ArrayLike) -> np.ndarray:
        """Bool array, True where an id is a speech code's."""
        ids = np.asarray(ids)
        return (ids >= self.code_offset) & (ids < self.size)
