"""Holding on to what the text model knows: `train.text_kl`.

The gradient of speech moves weights that text needs too. Where a sample teaches no text, in its
question, the model is held to the distribution of the model it started from: the Kullback-Leibler
divergence of its next-token probabilities from the start's (knowledge distillation: Hinton et al.
2015; for what a model knew before: Li and Hoiem 2016, "Learning without forgetting"). Passages of
plain text, without any speech, are mixed in as `train.text_passages` says.
"""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from voxtwist.errors import VoxtwistError
from voxtwist.model import attention
from voxtwist.model.embedding import SplitTable
from voxtwist.training.batches import IGNORE, Batch, join

CHUNK = 256  # rows of the head at a time
_POSITIONS = 96  # that are compared in a row


@dataclass(frozen=True)
class Anchor:
    """What the start thinks of a batch.

    Attributes:
        positions: int64 (R,), where the model is compared with it.
        hidden: (R, width), the start's hidden states there.
        rows: (text_size, width), the start's table of text.
        weight: of a position's divergence in the loss.
    """

    positions: Tensor
    hidden: Tensor
    rows: Tensor
    weight: float


class TextAnchor:
    """The frozen start of a training, and where a batch is compared with it.

    Args:
        model: loaded for this alone: it is changed.
        text_size: ids below it are text.
    """

    def __init__(self, model: PreTrainedModel, text_size: int, dtype: torch.dtype) -> None:
        attention.register()
        model.set_attn_implementation(attention.NAME)
        self.model: Any = model.to(dtype).eval().requires_grad_(False)
        self.rows = model.get_output_embeddings().weight[:text_size]

    def to(self, device: torch.device) -> "TextAnchor":
        self.model.to(device)
        self.rows = self.rows.to(device)
        return self

    def of(self, batch: Batch, weight: float) -> Anchor:
        """The comparison for a batch."""
        positions = compared(batch).to(batch.input_ids.device)
        return Anchor(positions, self.hidden(batch), self.rows, weight)

    @torch.no_grad()
    def hidden(self, batch: Batch) -> Tensor:
        """The start's hidden states (R, width) at the `compared` positions of a batch.

        Only the questions go through the model.
        """
        positions, boundaries = questions(batch)
        device = batch.input_ids.device
        hidden = self.model.get_decoder()(
            input_ids=batch.input_ids[:, positions.to(device)],
            position_ids=batch.position_ids[:, positions.to(device)],
            boundaries=boundaries,
            use_cache=False,
        ).last_hidden_state[0]
        return hidden[_chosen(boundaries).to(device)]


def compared(batch: Batch) -> Tensor:
    """Positions int64 (R,), on the CPU: those of the questions, see `_chosen`."""
    positions, boundaries = questions(batch)
    return positions[_chosen(boundaries)]


def questions(batch: Batch) -> tuple[Tensor, Tensor]:
    """What comes before each sample's first label: positions int64, and int32 boundaries, on the
    CPU. A passage without labels is all question."""
    unlabelled = (batch.labels[0] == IGNORE).cpu()
    parts = []
    for start, end in pairwise(batch.boundaries.tolist()):
        length = int(unlabelled[start:end].int().cumprod(0).sum())
        parts.append(torch.arange(start, start + length))
    lengths = torch.tensor([0, *map(len, parts)])
    return torch.cat(parts), lengths.cumsum(0).int()


def _chosen(boundaries: Tensor) -> Tensor:
    """int64 (R,): all tokens but each question's last, behind which a label stands; of more than
    `_POSITIONS`, every second, third or so: the softmax over all of the text costs more than the
    layers do."""
    inner = torch.ones(int(boundaries[-1]), dtype=torch.bool)
    inner[boundaries[1:].long() - 1] = False
    chosen = torch.nonzero(inner).squeeze(1)
    return chosen[:: 1 + (len(chosen) - 1) // _POSITIONS]


def text_divergence(hidden: Tensor, head: SplitTable, anchor: Tensor, rows: Tensor) -> Tensor:
    """Sum over positions of KL(start || model) in nats, at least in fp32; carries the gradient.

    The start's probabilities are those of text alone: what goes to speech tokens in the middle of
    a question counts as lost.

    Args:
        hidden: (R, width), the model's at the compared positions.
        head: the model's output table.
        anchor: (R, width), the start's at the same positions.
        rows: (text_size, width), the start's table of text.
    """
    return _Divergence.apply(hidden, head.text_rows, head.new_rows, anchor, rows)


class _Divergence(torch.autograd.Function):
    """In chunks, the gradient made while the logits are at hand, as in `model.loss`."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, text_rows: Tensor, new_rows: Tensor, anchor: Tensor, rows: Tensor
    ) -> Tensor:
        device = hidden.device.type
        autocast = torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if autocast else hidden.dtype
        precise = torch.promote_types(hidden.dtype, torch.float32)
        gradients = [
            torch.zeros_like(tensor) if tensor.requires_grad else None
            for tensor in (hidden, text_rows, new_rows)
        ]
        total = torch.zeros((), dtype=precise, device=hidden.device)
        with torch.autocast(device, enabled=False):
            table = torch.cat([text_rows, new_rows]).to(dtype)
            rows = rows.to(dtype)
            for part in torch.arange(len(hidden)).split(CHUNK):
                own = hidden[part].to(dtype)
                start = (anchor[part].to(dtype) @ rows.T).to(precise).log_softmax(-1)
                logits = (own @ table.T).to(precise).log_softmax(-1)
                wanted = start.exp()
                total += (wanted * (start - logits[:, : len(rows)])).sum()
                slope = logits.exp_()
                slope[:, : len(rows)] -= wanted
                slope = slope.to(dtype)
                if gradients[0] is not None:
                    gradients[0][part] = (slope @ table).to(hidden.dtype)
                for gradient, columns in (
                    (gradients[1], slope[:, : len(rows)]),
                    (gradients[2], slope[:, len(rows) :]),
                ):
                    if gradient is not None:
                        gradient += columns.T @ own
        ctx.gradients = gradients
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, loss: Tensor) -> tuple[Tensor | None, ...]:
        gradients, ctx.gradients = ctx.gradients, None
        return *(g if g is None else g.mul_(loss) for g in gradients), None, None


def read_passages(file: Path, tokenizer: PreTrainedTokenizerFast, longest: int) -> list[np.ndarray]:
    """The lines of a text file as int64 ids (T,), cut at `longest` tokens.

    Raises:
        VoxtwistError: the file cannot be read, or has no line of two tokens.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise VoxtwistError(f"train.text_passages {file} cannot be read: {error}") from None
    texts = [line.replace("\\n", "\n") for line in lines if line.strip()]
    encoded = tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
    passages = [np.array(ids[:longest]) for ids in encoded if len(ids) > 1]
    if not passages:
        raise VoxtwistError(f"train.text_passages {file} holds no text")
    return passages


def add_passages(batch: Batch, passages: list[np.ndarray], budget: int, seed: list[int]) -> Batch:
    """Append passages without labels, about `budget` tokens of them, drawn by the seed."""
    generator = np.random.default_rng(seed)
    drawn: list[np.ndarray] = []
    room = budget
    while True:
        passage = passages[generator.integers(len(passages))]
        if drawn and len(passage) > room:
            break
        drawn.append(passage)
        room -= len(passage)
    rows = [{"input_ids": ids, "labels": np.full(len(ids), IGNORE)} for ids in drawn]
    text = join(rows)
    return Batch(
        input_ids=torch.cat([batch.input_ids, text.input_ids], 1),
        labels=torch.cat([batch.labels, text.labels], 1),
        position_ids=torch.cat([batch.position_ids, text.position_ids], 1),
        boundaries=torch.cat([batch.boundaries, text.boundaries[1:] + batch.boundaries[-1]]),
    )
