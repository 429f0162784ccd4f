"""How much probability a model gives to speech while it writes text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from voxtwist.vocabulary import ChatFormat, Conversation


@dataclass(frozen=True)
class Leak:
    """The leaked mass of one answer.

    Attributes:
        mass: probability of all speech codes, summed over the text's tokens.
        tokens: how many text tokens that are.
    """

    mass: float
    tokens: int


@torch.inference_mode()
def measure_leak(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    questions: Sequence[str | Conversation],
    texts: Sequence[str],
    batch_size: int,
) -> list[Leak]:
    """Read answers back to the model that wrote them, and add up what it gave to speech codes.

    The model is not constrained here, whatever it was when it wrote. The mark that ends the text is
    not counted: in format v1 speech may stand there.

    Args:
        texts: the text of the answers, without marks; an empty one leaks nothing.
    """
    chat = ChatFormat.from_tokenizer(tokenizer)
    vocabulary = chat.vocabulary
    nothing = np.zeros(0, np.int64)
    samples = chat.encode_batch(questions, texts, [nothing] * len(texts))
    leaks = []
    starts = range(0, len(samples), batch_size)
    for start in tqdm(starts, "reading back", unit=" batches", disable=None):
        batch = samples[start : start + batch_size]
        ids = torch.full((len(batch), max(len(s.input_ids) for s in batch)), vocabulary.im_end)
        for row, sample in zip(ids, batch, strict=True):  # padded behind: causal, so unseen
            row[: len(sample.input_ids)] = torch.from_numpy(sample.input_ids)
        logits = _logits(model, ids)
        for row, sample in zip(logits, batch, strict=True):
            is_text = (sample.labels >= 0) & (sample.labels < vocabulary.text_size)
            is_text &= sample.labels != vocabulary.im_end
            before = np.flatnonzero(is_text) - 1
            probabilities = row[torch.from_numpy(before)].float().softmax(dim=-1)
            speech = probabilities[:, vocabulary.code_offset : vocabulary.size]
            leaks.append(Leak(float(speech.sum()), len(before)))
    return leaks


def _logits(model: Any, ids: torch.Tensor) -> torch.Tensor:
    logits: torch.Tensor = model(ids.to(model.device)).logits
    return logits
