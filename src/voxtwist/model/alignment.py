"""Which text is being said while a code sounds, counted over the training split.

No aligner is needed: an answer is read from its first character to its last at a steady pace, near
enough, so the token that covers the same share of the characters as a frame covers of the codes is
the one that sounds, or its neighbour. FOCUS (Dobler and de Melo 2023) and WECHSEL (Minixhofer et
al. 2022) start the words of a new language in a like way; we know of no one who did it for speech.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from voxtwist.data.index import TokenIndex
from voxtwist.errors import VoxtwistError
from voxtwist.vocabulary import IGNORED_LABEL, SpeechVocabulary

SAMPLES = 20_000  # a random draw of so many is enough
_SMEAR = 2  # characters before and after the steady pace's place that count as much as it does


@dataclass(frozen=True)
class Alignment:
    """Every frame of the drawn samples, and the text tokens that may sound in it.

    Attributes:
        codes: int64 (frames,).
        tokens: int64 (frames, 3), text ids: before, at and after the place in the text.
    """

    codes: np.ndarray
    tokens: np.ndarray


def align(
    index: TokenIndex,
    vocabulary: SpeechVocabulary,
    tokenizer: PreTrainedTokenizerFast,
    seed: int,
    samples: int = SAMPLES,
) -> Alignment:
    """The frames of up to `samples` samples, drawn by the seed.

    Raises:
        VoxtwistError: no sample has both text and speech.
    """
    drawn = np.arange(len(index))
    if len(index) > samples:
        drawn = np.sort(np.random.default_rng(seed).choice(len(index), samples, replace=False))
    widths = token_widths(tokenizer, vocabulary.text_size)
    parts = [
        (codes, _tokens_at(text, len(codes), widths[text]))
        for text, codes in (spans(index.read(int(i)), vocabulary) for i in drawn)
        if len(text) and len(codes)
    ]
    if not parts:
        raise VoxtwistError(
            f"{index.path}: no sample has both text and speech: twist.init cannot be aligned"
        )
    return Alignment(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def spans(
    sample: dict[str, np.ndarray], vocabulary: SpeechVocabulary
) -> tuple[np.ndarray, np.ndarray]:
    """The answer's text ids and its codes, out of a sample of either format."""
    ids, labels = sample["input_ids"], sample["labels"]
    is_speech = vocabulary.is_speech(ids)
    answer = (labels != IGNORED_LABEL) & (ids < vocabulary.text_size) & (ids != vocabulary.im_end)
    return ids[answer & (np.cumsum(is_speech) == 0)], ids[is_speech] - vocabulary.code_offset


def token_widths(tokenizer: PreTrainedTokenizerFast, text_size: int) -> np.ndarray:
    """Characters of each text id, int64 (text_size,): bytes, in the tokenizers of Qwen and SmolLM2.

    At least 1: an id without a token has no characters, and takes a place all the same.
    """
    tokens: Any = tokenizer.convert_ids_to_tokens(list(range(text_size)))
    return np.array([max(len(token or ""), 1) for token in tokens])


def _tokens_at(text: np.ndarray, frames: int, widths: np.ndarray) -> np.ndarray:
    """Token ids (frames, 3): frame i of T sounds at (i + 0.5) / T of the characters."""
    ends = np.cumsum(widths)
    place = (np.arange(frames) + 0.5) / frames * ends[-1]
    near = place[:, None] + np.array([-_SMEAR, 0, _SMEAR])
    return text[np.searchsorted(ends, near, side="right").clip(max=len(text) - 1)]


def cooccurrence(alignment: Alignment, n_codes: int, text_size: int) -> sparse.csr_matrix:
    """How often each code sounds while each token is said: float64 (n_codes, text_size)."""
    tokens = alignment.tokens
    codes = np.broadcast_to(alignment.codes[:, None], tokens.shape).ravel()
    weights = np.full(tokens.size, 1 / tokens.shape[1])
    return sparse.coo_matrix((weights, (codes, tokens.ravel())), (n_codes, text_size)).tocsr()


def aligned_vectors(counts: sparse.csr_matrix, text_rows: Tensor) -> Tensor:
    """For each code the mean of the text rows that are said while it sounds: (n_codes, width).

    A token weighs P(token | code) times the positive part of log P(token | code) / P(token), so
    that what is said everywhere says nothing. A code that was never heard gets a zero vector.

    Args:
        counts: see `cooccurrence`.
        text_rows: float32 (text_size, width).
    """
    of_code = np.asarray(counts.sum(1)).ravel()
    of_token = np.asarray(counts.sum(0)).ravel() / counts.sum()
    table = counts.tocoo()
    given = table.data / of_code[table.row]
    weights = given * np.log(given / of_token[table.col]).clip(min=0)
    weighing = sparse.coo_matrix((weights, (table.row, table.col)), table.shape).tocsr()
    total = np.asarray(weighing.sum(1)).ravel()
    weighing = sparse.diags(1 / np.maximum(total, 1e-9)) @ weighing
    centred = (text_rows - text_rows.mean(0)).numpy()
    return torch.from_numpy(np.asarray(weighing @ centred, dtype=np.float32))
