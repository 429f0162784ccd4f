"""Cross-entropy of the next token, text and speech apart, on supervised positions only.

The logits of a whole batch over 155,776 ids are never held: the head runs on chunks of supervised
rows, and the gradients of a chunk are made while its logits are at hand, so that they are neither
kept nor computed again in the backward pass (the idea of Liger Kernel's fused linear cross-entropy,
Hsu et al. 2024).
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from voxtwist.model.embedding import SplitTable

CHUNK = 512  # rows of the head at a time


@dataclass
class Tally:
    """Sums over tokens of one kind: log-likelihood in nats (negative), top-1 hits, number."""

    nll: Tensor
    hits: Tensor
    count: Tensor

    @staticmethod
    def empty(device: torch.device) -> "Tally":
        return Tally(*torch.zeros(3, dtype=torch.float32, device=device))


def speech_and_text_loss(
    hidden: Tensor,
    labels: Tensor,
    head: SplitTable,
    first_speech_label: int,
    restrict_speech: float = 0.0,
    speech_weight: float = 1.0,
) -> tuple[Tensor, dict[str, Tally]]:
    """The loss to minimise, and NLL and top-1 hits of text and of speech labels.

    Every input gets a gradient, if of zeros: devices exchange those of all parameters.

    Args:
        hidden: last hidden states (T, width).
        labels: int64 (T,), aligned with the inputs: position i is predicted from hidden i - 1.
            -100 is left out, and so is the first label of each packed sample, which must be -100.
        head: the output table.
        first_speech_label: labels at and above it are speech: the codes and `</speech>`.
        restrict_speech: share of the speech positions, in [0, 1], whose softmax is over the new
            rows only. That is cheap, but nothing keeps the text rows' logits down there. The
            others have the whole softmax and keep them down.
        speech_weight: of a speech token in the loss; a text token weighs 1.

    Returns:
        The weighted sum of the NLLs in nats, at least in fp32, which carries the gradient (of the
        first order); and the tallies `text` and `speech`, which carry none.
    """
    targets = labels[1:]
    supervised = targets != -100
    is_speech = supervised & (targets >= first_speech_label)
    speech = torch.nonzero(is_speech).squeeze(1)
    whole = _drawn(targets, is_speech, 1 - restrict_speech)[speech]
    kinds = [
        # rows, weight, over the new rows only
        (torch.nonzero(supervised & ~is_speech).squeeze(1), 1.0, False),
        (speech[whole], speech_weight, False),
        (speech[~whole], speech_weight, True),
    ]
    loss, text, spoken, spoken_restricted = _LinearCrossEntropy.apply(
        hidden, head.text_rows, head.new_rows, targets, kinds, torch.is_grad_enabled()
    )
    return loss, {"text": Tally(*text), "speech": Tally(*(spoken + spoken_restricted))}


def _drawn(targets: Tensor, is_speech: Tensor, share: float) -> Tensor:
    """Bool (N,): about a `share` of the speech positions, by a hash of the target and its place in
    the answer, so that neither a batch nor a resumed training draws others."""
    places = torch.arange(len(targets), device=targets.device)
    before = torch.where(is_speech, -1, places).cummax(0).values  # the last label that is no speech
    return is_speech & (((places - before) * 7919 + targets * 104_729) % 1009 < share * 1009)


class _LinearCrossEntropy(torch.autograd.Function):
    """Loss, and text's and speech's tally (3,) each; the gradients are made in the forward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        text_rows: Tensor,
        new_rows: Tensor,
        targets: Tensor,
        kinds: list[tuple[Tensor, float, bool]],
        learning: bool,
    ) -> tuple[Tensor, ...]:
        device = hidden.device.type
        autocast = torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if autocast else hidden.dtype
        precise = torch.promote_types(hidden.dtype, torch.float32)
        inputs = (hidden, text_rows, new_rows)
        gradients = [
            torch.zeros_like(tensor) if learning and tensor.requires_grad else None
            for tensor in inputs
        ]
        with torch.autocast(device, enabled=False):
            head = _Head(
                text_rows.to(dtype), new_rows.to(dtype), gradients[1], gradients[2], precise
            )
            loss = torch.zeros((), dtype=precise, device=hidden.device)
            tallies = []
            for rows, weight, new_rows_only in kinds:
                tally = torch.zeros(3, dtype=precise, device=hidden.device)
                for part in rows.split(CHUNK):
                    nll, hits, gradient = head.chunk(
                        hidden[part].to(dtype), targets[part], weight, new_rows_only, learning
                    )
                    tally += torch.stack([nll, hits, torch.full_like(nll, len(part))])
                    if gradient is not None and gradients[0] is not None:
                        gradients[0][part] = gradient.to(hidden.dtype)
                loss += weight * tally[0]
                tallies.append(tally)
        ctx.gradients = gradients
        ctx.mark_non_differentiable(*tallies)
        return loss, *tallies

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, loss: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        gradients, ctx.gradients = ctx.gradients, None
        return *(g if g is None else g.mul_(loss) for g in gradients), None, None, None


@dataclass
class _Head:
    """The table in its two parts, with the gradients that they collect (None: not wanted)."""

    text_rows: Tensor
    new_rows: Tensor
    text_gradient: Tensor | None
    new_gradient: Tensor | None
    precise: torch.dtype  # of the softmax

    def chunk(
        self, hidden: Tensor, targets: Tensor, weight: float, new_rows_only: bool, learning: bool
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Sum of the NLLs, top-1 hits, and the gradient of weight x that sum by `hidden`.

        Logits of text and new rows are apart all the way, and become probabilities and then
        gradients in place: a copy of them would be the largest tensor of the whole step.
        """
        first_new = len(self.text_rows)
        parts = [(first_new, self.new_rows, self.new_gradient)]
        if not new_rows_only:
            parts.insert(0, (0, self.text_rows, self.text_gradient))
        logits = [(hidden @ rows.T).to(self.precise) for _, rows, _ in parts]
        # The column of each row's target, and whether it is in this part: no boolean indexing,
        # for which a GPU would have to wait.
        columns = [(targets - first).clamp(0, len(rows) - 1) for first, rows, _ in parts]
        own = [
            column + first == targets for column, (first, _, _) in zip(columns, parts, strict=True)
        ]

        tops, ids = zip(*(part.max(dim=-1) for part in logits), strict=True)
        top, part_of_top = torch.stack(tops).max(dim=0)
        best = torch.stack([i + first for i, (first, _, _) in zip(ids, parts, strict=True)])
        hits = (best.gather(0, part_of_top.unsqueeze(0))[0] == targets).sum().to(self.precise)

        aimed, total = torch.zeros_like(top), torch.zeros_like(top)
        for part, column, mine in zip(logits, columns, own, strict=True):
            aimed += part.gather(1, column.unsqueeze(1)).squeeze(1) * mine
            total += part.sub_(top.unsqueeze(1)).exp_().sum(dim=-1)
        nll = (total.log() + top - aimed).sum()
        if not learning:
            return nll, hits, None

        gradient = torch.zeros_like(hidden, dtype=self.precise)
        for part, column, mine, (_, rows, table_gradient) in zip(
            logits, columns, own, parts, strict=True
        ):
            part.mul_((weight / total).unsqueeze(1))
            part.scatter_add_(1, column.unsqueeze(1), (-weight * mine.to(part)).unsqueeze(1))
            slope = part.to(hidden.dtype)
            gradient += slope @ rows
            if table_gradient is None:
                continue
            if table_gradient.dtype == slope.dtype:
                table_gradient.addmm_(slope.T, hidden)
            else:
                table_gradient += slope.T @ hidden
        return nll, hits, gradient
