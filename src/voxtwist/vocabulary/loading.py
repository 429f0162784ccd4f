"""Loading a tokenizer without loading torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from voxtwist.errors import VoxtwistError
from voxtwist.vocabulary.tokens import SpeechVocabulary, extend_tokenizer, speech_token

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def load_fast_tokenizer(source: str | Path, revision: str | None = None) -> PreTrainedTokenizerFast:
    """The tokenizer of a folder or hub name, from its ``tokenizer.json`` as that stands.

    ``AutoTokenizer`` gives the same ids but imports torch: 540 MB of memory instead of 60.

    Raises:
        VoxtwistError: it is not there, or has no chat template.
    """
    from transformers import PreTrainedTokenizerFast

    try:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(source, revision=revision or "main")
    except (OSError, ValueError):
        raise VoxtwistError(
            f"there is no tokenizer at {source}: give a folder with tokenizer.json, or a hub name"
        ) from None
    if tokenizer.chat_template is None:
        raise VoxtwistError(
            f"the tokenizer of {source} has no chat template: take an instruction-tuned model"
        )
    return tokenizer


def load_extended_tokenizer(
    source: str | Path,
    n_codes: int | None = None,
    fmt: str | None = None,
    revision: str | None = None,
) -> PreTrainedTokenizerFast:
    """A base model's tokenizer, extended; or a checkpoint's, which already is.

    Args:
        n_codes, fmt: None takes what a checkpoint has, and 4096 and "v1.1" for a base model.

    Raises:
        VoxtwistError: see `load_fast_tokenizer` and `extend_tokenizer`; also a checkpoint of
            another format or another number of codes.
    """
    tokenizer = load_fast_tokenizer(source, revision)
    if speech_token(0) not in tokenizer.get_added_vocab():
        return extend_tokenizer(tokenizer, n_codes or 4096, fmt or "v1.1")
    vocabulary = SpeechVocabulary.from_tokenizer(tokenizer)
    has = (vocabulary.format, vocabulary.n_codes)
    if has != (fmt or has[0], n_codes or has[1]):
        raise VoxtwistError(
            f"the tokenizer of {source} has format {has[0]} and {has[1]} codes; asked for are "
            f"{fmt or has[0]} and {n_codes or has[1]}"
        )
    return tokenizer
