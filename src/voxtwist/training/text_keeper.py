"""Keeping what the text model knows while it learns to speak: `train.keep_text`.

The gradient of speech moves weights that text needs too. To a token of text, a change ΔW of a
layer's weights adds ΔW x, x being the layer's input there. So the change is kept out of the
directions in which the inputs of text lie. Every `PULL_STEPS` steps

    ΔW <- ΔW (I + s C)^-1,    C = d · mean of x xᵀ / |x|² over tokens of text passages,

where s is `keep_text`, d the width of x, and ΔW the change since the start. The eigenvalues of C
are 1 on average: a direction that text uses that much shrinks by 1 / (1 + s) each time, one that
text does not use stays free, and speech has plenty of these. (I + s C)^-1 is the projector of
orthogonal weights modification (Zeng et al. 2019, arXiv:1810.01256). It acts on the change itself
and not on the gradient, whose direction Adam alters.
"""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from voxtwist.corpus.everyday import conversations, trivia_questions
from voxtwist.data.groups import normalise
from voxtwist.errors import VoxtwistError
from voxtwist.training.batches import Batch, join
from voxtwist.training.packing import pack
from voxtwist.vocabulary import IGNORED_LABEL

PULL_STEPS = 10
_TOKENS = 8_000  # of the passages: several times the width of the widest input
_LONGEST = 128  # tokens of a passage
_ROW = 1_024


def read_passages(file: str | None) -> list[str]:
    """Plain text: the lines of a file, or the bundled questions with their answers.

    The trivia are not among the bundled ones: the text benchmark asks them.

    Raises:
        VoxtwistError: the file cannot be read.
    """
    if file is None:
        benchmark = trivia_questions()
        return [
            f"Question: {question}\nAnswer: {answer}"
            for question, answer in conversations()
            if normalise(question) not in benchmark
        ]
    try:
        lines = Path(file).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise VoxtwistError(f"train.text {file} cannot be read: {error}") from None
    return [line.strip() for line in lines if line.strip()]


class TextKeeper:
    """Pulls the linear layers of a model back to what they did to text.

    The gains of norms, which text and speech share, rest.

    Args:
        model: the start with packed attention, before anything is trained or sharded.
        passages: plain text, drawn from evenly where there is much of it.
        strength: `train.keep_text`, above 0.

    Raises:
        VoxtwistError: no passage has two tokens.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerFast,
        passages: Sequence[str],
        strength: float,
    ) -> None:
        decoder = model.get_decoder()
        inputs, covariances = _input_covariances(decoder, _batches(tokenizer, passages))
        shrink = [
            torch.linalg.inv(torch.eye(len(c), device=c.device) + strength * c) for c in covariances
        ]
        weights = {name: decoder.get_submodule(name).weight for name in inputs}
        self._start = {
            name: (weight.detach().clone(), shrink[inputs[name]])
            for name, weight in weights.items()
            if weight.requires_grad
        }
        self._layers: list[tuple[nn.Parameter, Tensor, Tensor]] = []
        for parameter in decoder.parameters():
            if parameter.ndim == 1:
                parameter.requires_grad_(False)

    def attach(self, model: PreTrainedModel) -> None:
        """Find the layers again where they are trained: wrapped, moved or sharded."""
        for name, (start, shrink) in self._start.items():
            weight = model.get_decoder().get_submodule(name).weight
            start, shrink = start.to(weight.device), shrink.to(weight.device)
            if isinstance(weight, DTensor):  # every process has the whole: nothing is sent
                mesh, placements = weight.device_mesh, weight.placements
                start = distribute_tensor(start, mesh, placements, src_data_rank=None).to_local()
            self._layers.append((weight, start, shrink))

    @torch.no_grad()
    def pull(self) -> None:
        """Shrink the change of every layer along what text uses. Sharded layers hold rows."""
        for weight, start, shrink in self._layers:
            own = weight.to_local() if isinstance(weight, DTensor) else weight
            own.copy_(torch.addmm(start, own - start, shrink))


def _batches(tokenizer: PreTrainedTokenizerFast, passages: Sequence[str]) -> list[Batch]:
    """About `_TOKENS` tokens of the passages, packed into rows."""
    shuffled = random.Random(0).sample(passages, len(passages))
    encoded = tokenizer(shuffled, add_special_tokens=False)["input_ids"] if shuffled else []
    chosen: list[np.ndarray] = []
    for ids in encoded:
        if len(ids) > 1 and sum(map(len, chosen)) < _TOKENS:
            chosen.append(np.array(ids[:_LONGEST]))
    if not chosen:
        raise VoxtwistError("train.text has no passage of two tokens or more")
    rows = [{"input_ids": ids, "labels": np.full(len(ids), IGNORED_LABEL)} for ids in chosen]
    lengths = np.array([len(ids) for ids in chosen])
    return [join([rows[i] for i in row]) for row in pack(lengths, _ROW, seed=0)]


@torch.no_grad()
def _input_covariances(
    decoder: Any, batches: Sequence[Batch]
) -> tuple[dict[str, int], list[Tensor]]:
    """C of the module's docstring for each input of linear layers, float32 (d, d), and the number
    of its input by the name of each layer: query, key and value read the same one."""
    inputs: dict[str, int] = {}
    sums: list[Tensor] = []
    seen: list[Tensor] = []  # the inputs of this forward, in the order in which they come

    def read(name: str, values: Tensor) -> None:
        again = bool(seen) and values is seen[-1]
        if not again:
            seen.append(values)
            if len(sums) < len(seen):
                width = values.shape[-1]
                sums.append(torch.zeros(width, width, device=values.device))
            rows = nn.functional.normalize(values.flatten(0, -2).float(), dim=-1)
            sums[len(seen) - 1].addmm_(rows.T, rows)
        inputs[name] = len(seen) - 1

    handles = [
        module.register_forward_pre_hook(lambda _, args, name=name: read(name, args[0]))
        for name, module in decoder.named_modules()
        if isinstance(module, nn.Linear)
    ]
    device = next(decoder.parameters()).device
    tokens = 0
    for batch in batches:
        seen.clear()
        there = batch.to(device)
        decoder(
            input_ids=there.input_ids,
            position_ids=there.position_ids,
            boundaries=there.boundaries,
            use_cache=False,
        )
        tokens += there.input_ids.shape[1]
    for handle in handles:
        handle.remove()
    return inputs, [total * (len(total) / tokens) for total in sums]
