"""Which text is being said while a code sounds, counted over the training split.

No aligner is needed: an answer is read from its first character to its last at a steady pace, near
enough, so the token that covers the same share of the characters as a frame covers of the codes is
the one that sounds, or its neighbour. A few rounds of expectation maximisation sharpen the counts:
IBM model 1 with a diagonal prior (Dyer et al. 2013, "A simple, fast, and effective
reparameterization of IBM model 2").
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
from voxtwist.vocabulary import SpeechVocabulary

SAMPLES = 20_000  # a random draw of so many is as good as all: under a minute on SLAM-Omni
_NEIGHBOURS = 2  # tokens on either side of the steady pace's that may be the one
_SMEAR = 4.0  # characters in which the prior falls to 1/e


@dataclass(frozen=True)
class Alignment:
    """Every frame of the drawn samples, and the text tokens that may sound in it.

    Attributes:
        codes: int64 (frames,).
        tokens: int64 (frames, candidates), text ids.
        prior: float32 (frames, candidates), each row sums to 1; 0 where there is no candidate.
    """

    codes: np.ndarray
    tokens: np.ndarray
    prior: np.ndarray


def align(
    index: TokenIndex,
    vocabulary: SpeechVocabulary,
    tokenizer: PreTrainedTokenizerFast,
    seed: int,
    samples: int = SAMPLES,
) -> Alignment:
    """Candidates of all frames of up to `samples` samples, drawn by the seed.

    Raises:
        VoxtwistError: no sample has both text and speech.
    """
    drawn = np.arange(len(index))
    if len(index) > samples:
        drawn = np.sort(np.random.default_rng(seed).choice(len(index), samples, replace=False))
    widths = token_widths(tokenizer, vocabulary.text_size)
    parts = [
        _frames(text, codes, widths[text])
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
    answer = (labels != -100) & (ids < vocabulary.text_size) & (ids != vocabulary.im_end)
    return ids[answer & (np.cumsum(is_speech) == 0)], ids[is_speech] - vocabulary.code_offset


def token_widths(tokenizer: PreTrainedTokenizerFast, text_size: int) -> np.ndarray:
    """Characters of each text id, int64 (text_size,): bytes, in the tokenizers of Qwen and SmolLM2.

    An id without a token has 0.
    """
    tokens: Any = tokenizer.convert_ids_to_tokens(list(range(text_size)))
    return np.array([len(token or "") for token in tokens])


def _frames(
    text: np.ndarray, codes: np.ndarray, widths: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes, candidate tokens and prior of one answer's frames."""
    ends = np.cumsum(np.maximum(widths, 1))
    place = (np.arange(len(codes)) + 0.5) / len(codes) * ends[-1]  # in characters
    steady = np.searchsorted(ends, place, side="right").clip(max=len(text) - 1)
    offsets = np.arange(-_NEIGHBOURS, _NEIGHBOURS + 1)
    candidates = steady[:, None] + offsets
    inside = (candidates >= 0) & (candidates < len(text))
    candidates = candidates.clip(0, len(text) - 1)
    starts = ends - np.maximum(widths, 1)
    # How far the frame is from the token, in characters; 0 inside of it.
    before = (starts[candidates] - place[:, None]).clip(min=0)
    behind = (place[:, None] - ends[candidates]).clip(min=0)
    prior = np.exp(-(before + behind) / _SMEAR) * inside
    prior /= prior.sum(1, keepdims=True)
    return codes, text[candidates], prior.astype(np.float32)


def cooccurrence(
    alignment: Alignment, n_codes: int, text_size: int, rounds: int
) -> sparse.csr_matrix:
    """How often each code sounds while each token is said: float32 (n_codes, text_size).

    Args:
        rounds: of expectation maximisation; 0 takes the prior as it is.
    """
    shape = alignment.tokens.shape
    codes = np.broadcast_to(alignment.codes[:, None], shape).ravel()
    tokens = alignment.tokens.ravel()
    weights = alignment.prior.ravel()
    for _ in range(rounds):
        counts = _count(codes, tokens, weights, n_codes, text_size)
        # P(code | token): what a token sounds like.
        of_token = np.asarray(counts.sum(0)).ravel()
        scale = sparse.diags(1 / np.maximum(of_token, 1e-9))
        sounds = (counts @ scale).tocsr()
        likely = np.asarray(sounds[codes, tokens]).reshape(shape) * alignment.prior
        weights = (likely / likely.sum(1, keepdims=True).clip(min=1e-12)).ravel()
    return _count(codes, tokens, weights, n_codes, text_size)


def _count(
    codes: np.ndarray, tokens: np.ndarray, weights: np.ndarray, n_codes: int, text_size: int
) -> sparse.csr_matrix:
    return sparse.coo_matrix((weights, (codes, tokens)), (n_codes, text_size)).tocsr()


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
    with np.errstate(divide="ignore"):
        weights = given * np.log(given / of_token[table.col]).clip(min=0)
    weights[~np.isfinite(weights)] = 0
    weighing = sparse.coo_matrix((weights, (table.row, table.col)), table.shape).tocsr()
    total = np.asarray(weighing.sum(1)).ravel()
    weighing = sparse.diags(1 / np.maximum(total, 1e-9)) @ weighing
    centred = (text_rows - text_rows.mean(0)).numpy()
    return torch.from_numpy(np.asarray(weighing @ centred, dtype=np.float32))
