"""Packed rows of whole samples, in an order that the seed and the epoch decide."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from voxtwist.data.index import TokenIndex
from voxtwist.errors import VoxtwistError
from voxtwist.params import Train
from voxtwist.training.packing import pack, pad
from voxtwist.vocabulary import IGNORED_LABEL, SpeechVocabulary


@dataclass(frozen=True)
class Batch:
    """Samples end to end in one row.

    Attributes:
        input_ids, labels: int64 (1, T). The first label of each sample is -100, and so is padding.
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


def read_batch(index: TokenIndex, samples: np.ndarray, padded: bool = False) -> Batch:
    """Join samples of an index into one row, each `padded` to the longest if asked for."""
    rows = [index.read(int(sample)) for sample in samples]
    # No sample is predicted from the one before it; prompts are -100 there anyway.
    for row in rows:
        row["labels"][0] = IGNORED_LABEL
    if padded:
        longest = max(len(row["input_ids"]) for row in rows)
        # Behind the sample, where causal attention does not look back at it: any id will do.
        rows = [
            {
                "input_ids": _fill(row["input_ids"], longest, int(row["input_ids"][-1])),
                "labels": _fill(row["labels"], longest, IGNORED_LABEL),
            }
            for row in rows
        ]
    return join(rows)


def join(rows: list[dict[str, np.ndarray]]) -> Batch:
    """Samples end to end, each with int64 arrays `input_ids` and `labels`, the first label -100."""
    lengths = [len(row["input_ids"]) for row in rows]
    joined = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    return Batch(
        input_ids=torch.from_numpy(joined["input_ids"]).unsqueeze(0),
        labels=torch.from_numpy(joined["labels"]).unsqueeze(0),
        position_ids=torch.cat([torch.arange(n) for n in lengths]).unsqueeze(0),
        boundaries=torch.tensor([0, *np.cumsum(lengths)], dtype=torch.int32),
    )


def disturb_speech(
    batch: Batch, samples: np.ndarray, share: float, vocabulary: SpeechVocabulary, seed: list[int]
) -> Batch:
    """Put random codes in the place of a `share` of the inputs that are speech codes.

    The labels stay. Speech continues its own last 20 ms so well that a model learns that long
    before it looks at the text that it is to say; what it cannot trust it leans on less (word
    dropout: Bowman et al. 2016, "Generating sentences from a continuous space").

    Args:
        samples: integers (samples,), what the batch was read from.
        seed: with the number of the sample it decides all: not where in a batch, or on which
            device, the sample is.
    """
    ids = batch.input_ids[0].numpy().copy()
    for sample, own in zip(samples, np.split(ids, batch.boundaries[1:-1].numpy()), strict=True):
        noise = np.random.default_rng([*seed, int(sample)]).random((len(own), 2))
        chosen = vocabulary.is_speech(own) & (noise[:, 0] < share)
        own[chosen] = vocabulary.codes_to_ids(noise[chosen, 1] * vocabulary.n_codes)
    return replace(batch, input_ids=torch.from_numpy(ids).unsqueeze(0))


def _fill(values: np.ndarray, length: int, value: int) -> np.ndarray:
    return np.pad(values, (0, length - len(values)), constant_values=value)


def plan_steps(
    lengths: np.ndarray, settings: Train, processes: int, seed: int
) -> list[list[np.ndarray]]:
    """The rows of every optimizer step of a training, all processes together.

    A step holds about `step_tokens`, the last one of an epoch what is left, and always a multiple
    of `processes` rows. `epochs` passes over the data; a fraction takes the first part of one more.

    Args:
        lengths: tokens of each sample, integers (N,).

    Raises:
        VoxtwistError: there are fewer samples than processes.
    """
    per_step = processes
    if settings.step_tokens is not None:
        per_step *= max(1, round(settings.step_tokens / (settings.batch_tokens * processes)))
    steps: list[list[np.ndarray]] = []
    full, fraction = divmod(settings.epochs, 1)
    for epoch in range(int(full) + (fraction > 0)):
        rows = plan_rows(lengths, settings, seed + epoch)
        if epoch == int(full):
            rows = rows[: max(1, round(len(rows) * fraction))]
        steps += [rows[i : i + per_step] for i in range(0, len(rows), per_step)]
    steps = steps[: settings.max_steps]
    shared = [rows for step in steps if (rows := share(step, processes))]
    if not shared:
        raise VoxtwistError(
            f"the training split has {len(lengths)} samples for {processes} devices: "
            "each needs one at least"
        )
    return shared


def plan_rows(lengths: np.ndarray, settings: Train, seed: int) -> list[np.ndarray]:
    """Every sample once, in rows as `batching` says."""
    if settings.batching == "packed":
        return pack(lengths, settings.batch_tokens, seed)
    return pad(lengths, settings.batch_tokens, seed, settings.batching == "length_grouped")


def share(rows: list[np.ndarray], processes: int) -> list[np.ndarray]:
    """Halve the rows of most samples until every process has as many rows as the others.

    Samples that cannot be shared out, fewer than there are processes, are left out.
    """
    rows = list(rows)
    while len(rows) % processes:
        most = max(range(len(rows)), key=lambda row: len(rows[row]))
        if len(rows[most]) == 1:
            return rows[: len(rows) // processes * processes]
        rows[most : most + 1] = np.array_split(rows[most], 2)
    return rows


def every_row(index: TokenIndex, budget: int, limit: int | None, seed: int) -> list[np.ndarray]:
    """`limit` samples drawn by the seed (None: all), each once, packed, always in the same order.

    Not the first ones: they are of the first shards, and say little about the others.
    """
    samples = np.arange(len(index))
    if limit is not None and limit < len(index):
        samples = np.sort(np.random.default_rng(seed).choice(samples, limit, replace=False))
    return [samples[row] for row in pack(np.asarray(index.lengths)[samples], budget, seed=0)]
