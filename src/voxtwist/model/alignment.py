"""Which text is being said while a code sounds, counted over the training split.

No aligner is needed: an answer is read from its first character to its last at a steady pace, near
enough, so the token that covers the same share of the characters as a frame covers of the codes is
the one that sounds, or its neighbour. FOCUS (Dobler and de Melo 2023) and WECHSEL (Minixhofer et
al. 2022) start the words of a new language in a like way; we know of no one who did it for speech.
"""

from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from voxtwist.data.index import TokenIndex
from voxtwist.errors import VoxtwistError
from voxtwist.vocabulary import IGNORED_LABEL, ChatFormat

SAMPLES = 20_000  # a random draw of so many is enough
_BLOCK = 500  # samples that are held at a time
# The place in the text, and two characters before and after it: the pace is not quite steady.
_PLACES = np.array([-2, 0, 2])


def count_cooccurrence(
    index: TokenIndex, tokenizer: PreTrainedTokenizerFast, seed: int, samples: int = SAMPLES
) -> sparse.csr_matrix:
    """How often each code sounds while each token is said: float64 (n_codes, text_size).

    One pass over up to `samples` samples, drawn by the seed. A frame counts 1 in all.

    Args:
        index: the training split.
        tokenizer: the extended one that the split was made with.

    Raises:
        VoxtwistError: no sample has both text and speech.
    """
    chat = ChatFormat.from_tokenizer(tokenizer)
    n_codes, text_size = chat.vocabulary.n_codes, chat.vocabulary.text_size
    drawn = np.arange(len(index))
    if len(index) > samples:
        drawn = np.sort(np.random.default_rng(seed).choice(drawn, samples, replace=False))
    widths = token_widths(tokenizer, text_size)
    counts = sparse.csr_matrix((n_codes, text_size))
    for start in range(0, len(drawn), _BLOCK):
        block = drawn[start : start + _BLOCK].tolist()
        spoken = [spans(index.read(number), chat) for number in block]
        spoken = [(text, codes) for text, codes in spoken if len(text) and len(codes)]
        if not spoken:
            continue
        tokens = np.concatenate([said_in(text, widths[text], len(codes)) for text, codes in spoken])
        codes = np.concatenate([codes for _, codes in spoken]).repeat(len(_PLACES))
        weights = np.full(len(codes), 1 / len(_PLACES))
        counts += sparse.coo_matrix((weights, (codes, tokens.ravel())), counts.shape).tocsr()
    if not counts.nnz:
        raise VoxtwistError(
            f"{index.path}: no sample has both text and speech: twist.init cannot be aligned"
        )
    return counts


def spans(sample: dict[str, np.ndarray], chat: ChatFormat) -> tuple[np.ndarray, np.ndarray]:
    """The answer's text ids and its codes, out of a sample of either format."""
    ids, labels = sample["input_ids"], sample["labels"]
    answer = ids[labels != IGNORED_LABEL]
    # In format v1 an empty thinking block is learnt too, but nobody says it.
    thinking = chat.prompt_end[chat.masked :]
    if answer[: len(thinking)].tolist() == thinking:
        answer = answer[len(thinking) :]
    is_speech = chat.vocabulary.is_speech(answer)
    is_text = (answer < chat.vocabulary.text_size) & (answer != chat.vocabulary.im_end)
    return answer[is_text], answer[is_speech] - chat.vocabulary.code_offset


def token_widths(tokenizer: PreTrainedTokenizerFast, text_size: int) -> np.ndarray:
    """Characters of each text id, int64 (text_size,): bytes, in the tokenizers of Qwen and SmolLM2.

    At least 1: an id without a token has no characters, and takes a place all the same.
    """
    tokens: Any = tokenizer.convert_ids_to_tokens(list(range(text_size)))
    return np.array([max(len(token or ""), 1) for token in tokens])


def said_in(text: np.ndarray, widths: np.ndarray, frames: int) -> np.ndarray:
    """Token ids (frames, 3): frame i of T sounds at (i + 0.5) / T of the characters.

    Args:
        text: int64 (tokens,), ids of an answer.
        widths: int64 (tokens,), their characters.
    """
    ends = np.cumsum(widths)
    places = (np.arange(frames) + 0.5) / frames * ends[-1]
    near = places[:, None] + _PLACES
    return text[np.searchsorted(ends, near, side="right").clip(max=len(text) - 1)]


def aligned_vectors(counts: sparse.csr_matrix, text_rows: Tensor) -> Tensor:
    """For each code the mean of the text rows that are said while it sounds: (n_codes, width).

    A token weighs P(token | code) times the positive part of log P(token | code) / P(token), so
    that what is said everywhere says nothing. A code that was never heard gets a zero vector.

    Args:
        counts: see `count_cooccurrence`.
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
