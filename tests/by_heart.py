"""A tiny checkpoint that has learnt its answers by heart: words, codes and an end."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import AutoTokenizer

from voxtwist.model.base import load_model
from voxtwist.vocabulary import ChatFormat


def learn_by_heart(
    start: Path,
    folder: Path,
    questions: Sequence[str],
    answers: Sequence[str],
    codes: Sequence[Sequence[int]],
) -> Path:
    """Train `start`, a tiny twist checkpoint, for some seconds, and save it in `folder`."""
    model, tokenizer = load_model(start), AutoTokenizer.from_pretrained(start)
    spoken = [np.array(each) for each in codes]
    samples = ChatFormat.from_tokenizer(tokenizer).encode_batch(questions, answers, spoken)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(60):
        for sample in samples:
            ids, labels = (torch.from_numpy(part)[None] for part in sample)
            model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
