"""Cross-entropy of the next token, text and speech apart, on supervised positions only.

The logits of a whole batch over 155,776 ids are never held: the head runs on chunks of supervised
rows, and its activations are computed again in the backward pass.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, linear
from torch.utils.checkpoint import checkpoint

from voxtwist.model.embedding import SplitTable

CHUNK = 1024  # rows of the head at a time


@dataclass
class Tally:
    """Sums over tokens of one kind: log-likelihood in nats (negative), top-1 hits, number."""

    nll: Tensor
    hits: Tensor
    count: Tensor

    @staticmethod
    def empty(device: torch.device) -> "Tally":
        return Tally(*(torch.zeros((), dtype=torch.float32, device=device) for _ in range(3)))

    def add(self, nll: Tensor, hits: Tensor) -> None:
        self.nll, self.hits = self.nll + nll.sum(), self.hits + hits.sum()
        self.count = self.count + nll.numel()

    def detach(self) -> "Tally":
        return Tally(self.nll.detach(), self.hits, self.count)


def speech_and_text_loss(
    hidden: Tensor,
    labels: Tensor,
    head: SplitTable,
    first_speech_label: int,
    restrict_speech: bool = False,
) -> dict[str, Tally]:
    """NLL and top-1 hits of text and of speech labels.

    Args:
        hidden: last hidden states (T, width).
        labels: int64 (T,), aligned with the inputs: position i is predicted from hidden i - 1.
            -100 is left out, and so is the first label of each packed sample, which must be -100.
        head: the output table.
        first_speech_label: labels at and above it are speech: the codes and `</speech>`.
        restrict_speech: at speech positions, a softmax over the new rows only.

    Returns:
        `text` and `speech` tallies; their `nll` carries the gradient.
    """
    targets = labels[1:]
    rows = torch.nonzero(targets != -100).squeeze(1)
    is_speech = targets[rows] >= first_speech_label
    tallies = {"text": Tally.empty(hidden.device), "speech": Tally.empty(hidden.device)}
    for kind, chosen in (("text", rows[~is_speech]), ("speech", rows[is_speech])):
        new_rows_only = restrict_speech and kind == "speech"
        for part in chosen.split(CHUNK):
            nll, hits = checkpoint(
                _chunk, hidden[part], targets[part], head, new_rows_only, use_reentrant=False
            )
            tallies[kind].add(nll, hits)
    if torch.is_grad_enabled() and not tallies["text"].count:
        # Devices exchange the gradients of all parameters, those of a batch without text too.
        parts = (hidden, head.text_rows, head.new_rows)
        tallies["text"].nll = tallies["text"].nll + sum(0 * part.sum() for part in parts)
    return tallies


def _chunk(
    hidden: Tensor, targets: Tensor, head: SplitTable, new_rows_only: bool
) -> tuple[Tensor, Tensor]:
    logits = linear(hidden, head.new_rows)
    if new_rows_only:
        targets = targets - head.text_rows.shape[0]
    else:
        logits = torch.cat([linear(hidden, head.text_rows), logits], dim=-1)
    logits = logits.float()
    return cross_entropy(logits, targets, reduction="none"), (logits.argmax(-1) == targets).float()
