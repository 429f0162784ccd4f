"""The token table in two parts: the text rows of the base model, and the new rows after them.

Apart, each part has its own learning rate, and frozen text rows are a tensor that no optimizer
owns: no weight decay shrinks them and no optimizer state is allocated for them.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from voxtwist.model.lora import merged


class SplitTable(nn.Module):
    """A (vocabulary, width) table held as text rows (text_size, width) and new rows.

    Used as an input embedding by call; as an output head, the loss reads its rows.
    """

    def __init__(self, weight: Tensor, text_size: int) -> None:
        super().__init__()
        self.text_rows = nn.Parameter(weight[:text_size].clone())
        self.new_rows = nn.Parameter(weight[text_size:].clone())

    def forward(self, ids: Tensor) -> Tensor:
        text_size = self.text_rows.shape[0]
        is_new = ids >= text_size
        text = functional.embedding(ids.masked_fill(is_new, 0), self.text_rows)
        new = functional.embedding((ids - text_size).clamp(min=0), self.new_rows)
        return torch.where(is_new.unsqueeze(-1), new, text)


def split_tables(model: PreTrainedModel, text_size: int) -> tuple[SplitTable, SplitTable]:
    """Put a split table in place of the input embedding and of the head, which is left out.

    Returns:
        The input table and the head's table: the same object where the model ties them.
    """
    embedding: Any = model.get_input_embeddings()
    head: Any = model.get_output_embeddings()
    table = SplitTable(embedding.weight.data, text_size)
    tied = embedding.weight is head.weight
    head_table = table if tied else SplitTable(head.weight.data, text_size)
    model.set_input_embeddings(table)
    model.set_output_embeddings(head_table)
    return table, head_table


def joined_state_dict(model: PreTrainedModel, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The `state` of a split model under the names that a plain checkpoint has, untouched by ties.

    Adapters are merged into their layers.
    """
    joined: dict[str, Tensor] = {}
    for name, tensor in state.items():
        table, _, part = name.rpartition(".")
        if part == "text_rows":
            joined[f"{table}.weight"] = torch.cat([tensor, state[f"{table}.new_rows"]])
        elif part != "new_rows":
            joined[name] = tensor
    return merged(model, joined)
