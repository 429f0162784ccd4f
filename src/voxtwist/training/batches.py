"""Packed rows of whole samples, in an order that the seed and the epoch decide."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from voxtwist.data.index import TokenIndex
from voxtwist.data.packing import pack


@dataclass(frozen=True)
class Batch:
    """Samples end to end in one row.

    Attributes:
        input_ids, labels: int64 (1, T). The first label of each sample is -100.
        position_ids: int64 (1, T), from 0 in every sample.
        boundaries: int32 (samples + 1,), on the CPU: where samples start, and T.
    """

    input_ids: Tensor
    labels: Tensor
    position_ids: Tensor
    boundaries: Tensor

    def to(self, device: torch.device) -> "Batch":
        ids, labels, positions = (
            part.to(device, non_blocking=True)
            for part in (self.input_ids, self.labels, self.position_ids)
        )
        return Batch(ids, labels, positions, self.boundaries)


def read_batch(index: TokenIndex, samples: np.ndarray) -> Batch:
    """Join samples of an index into one row."""
    rows = [index.read(int(sample)) for sample in samples]
    lengths = [len(row["input_ids"]) for row in rows]
    # No sample is predicted from the one before it; prompts are -100 there anyway.
    for row in rows:
        row["labels"][0] = -100
    joined = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    return Batch(
        input_ids=torch.from_numpy(joined["input_ids"]).unsqueeze(0),
        labels=torch.from_numpy(joined["labels"]).unsqueeze(0),
        position_ids=torch.cat([torch.arange(n) for n in lengths]).unsqueeze(0),
        boundaries=torch.tensor([0, *np.cumsum(lengths)], dtype=torch.int32),
    )


def plan_steps(
    index: TokenIndex, budget: int, per_step: int, epochs: float, max_steps: int | None, seed: int
) -> list[list[np.ndarray]]:
    """The packed rows of every optimizer step of a training, all processes together.

    Args:
        budget: tokens a row holds.
        per_step: rows of an optimizer step: processes times accumulation. The last step of an
            epoch takes what is left.
        epochs: passes over the data; a fraction takes the first part of one more pass.
    """
    steps: list[list[np.ndarray]] = []
    full, fraction = divmod(epochs, 1)
    for epoch in range(int(full) + (fraction > 0)):
        rows = pack(np.asarray(index.lengths), budget, seed + epoch)
        if epoch == int(full):
            rows = rows[: max(1, round(len(rows) * fraction))]
        steps += [rows[i : i + per_step] for i in range(0, len(rows), per_step)]
    return steps[:max_steps]


def every_batch(index: TokenIndex, budget: int, limit: int | None) -> Iterator[Batch]:
    """The first `limit` samples (None: all) once, packed, always in the same order."""
    for row in pack(np.asarray(index.lengths[:limit]), budget, seed=0):
        yield read_batch(index, row)
