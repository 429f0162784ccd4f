"""Packed rows of whole samples, in an order that the seed and the epoch decide."""

from dataclasses import dataclass, replace
from heapq import heappop, heappush

import numpy as np
import torch
from torch import Tensor

from voxtwist.data.index import TokenIndex
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


def unlabelled(batch: Batch) -> Batch:
    """The same inputs, with nothing to learn."""
    return replace(batch, labels=torch.full_like(batch.labels, IGNORED_LABEL))


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

    Which samples a step holds follows from lengths, settings and seed alone. `processes` only
    decides how its rows are dealt, so a training may go on with another number of devices.

    A step holds about `step_tokens` (None: `batch_tokens`), the last one of an epoch what is left.
    `epochs` passes over the data; a fraction takes the first part of one more.

    Args:
        lengths: tokens of each sample, integers (N,).

    Returns:
        For each step a multiple of `processes` rows, each of sample numbers. Process r takes rows
        r, r + processes, ... A row may be empty where a step has fewer samples than processes.
    """
    step_tokens = settings.step_tokens or settings.batch_tokens
    per_step = -(-step_tokens // settings.batch_tokens)
    # Rows a little shorter than a device could hold, so that whole rows make up a step.
    budget = step_tokens // per_step
    steps: list[list[np.ndarray]] = []
    full, fraction = divmod(settings.epochs, 1)
    for epoch in range(int(full) + (fraction > 0)):
        rows = plan_rows(lengths, settings, budget, seed + epoch)
        if epoch == int(full):
            rows = rows[: max(1, round(len(rows) * fraction))]
        steps += [rows[i : i + per_step] for i in range(0, len(rows), per_step)]
    return [deal(step, lengths, settings, processes) for step in steps[: settings.max_steps]]


def plan_rows(lengths: np.ndarray, settings: Train, budget: int, seed: int) -> list[np.ndarray]:
    """Every sample once, in rows of `budget` tokens as `batching` says."""
    if settings.batching == "packed":
        return pack(lengths, budget, seed)
    return pad(lengths, budget, seed, settings.batching == "length_grouped")


def deal(
    rows: list[np.ndarray], lengths: np.ndarray, settings: Train, processes: int
) -> list[np.ndarray]:
    """The samples of a step in as many rows for every process, each within `batch_tokens`.

    Rows that can be dealt as they are stay. Otherwise the samples are spread anew over as few rows
    as fit: packed ones evenly by tokens, because the slowest device sets the pace.

    Returns:
        A multiple of `processes` rows that hold every sample once; some are empty where samples
        are few.
    """
    if len(rows) % processes == 0:
        return rows
    packed = settings.batching == "packed"
    samples = np.concatenate(rows)
    samples = samples[np.argsort(-lengths[samples], kind="stable")]
    count = len(rows)
    while True:
        count += -count % processes
        dealt = _spread(samples, lengths, count) if packed else np.array_split(samples, count)
        if all(_fits(lengths[row], settings.batch_tokens, packed) for row in dealt):
            return dealt
        count += 1


def _spread(samples: np.ndarray, lengths: np.ndarray, count: int) -> list[np.ndarray]:
    """Each sample, longest first, into the row that has the fewest tokens so far."""
    rows: list[list[int]] = [[] for _ in range(count)]
    emptiest = [(0, row) for row in range(count)]  # a heap
    for sample in map(int, samples):
        tokens, row = heappop(emptiest)
        rows[row].append(sample)
        heappush(emptiest, (tokens + int(lengths[sample]), row))
    return [np.array(row, dtype=np.int64) for row in rows]


def _fits(lengths: np.ndarray, budget: int, packed: bool) -> bool:
    """Whether samples share a row; one that is longer than the budget has a row of its own."""
    if len(lengths) < 2:
        return True
    return int(lengths.sum() if packed else lengths.max() * len(lengths)) <= budget


def every_row(index: TokenIndex, budget: int, limit: int | None, seed: int) -> list[np.ndarray]:
    """`limit` samples drawn by the seed (None: all), each once, packed, always in the same order.

    Not the first ones: they are of the first shards, and say little about the others.
    """
    samples = np.arange(len(index))
    if limit is not None and limit < len(index):
        samples = np.sort(np.random.default_rng(seed).choice(samples, limit, replace=False))
    return [samples[row] for row in pack(np.asarray(index.lengths)[samples], budget, seed=0)]
