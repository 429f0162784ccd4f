"""How large a model is and what of it learns."""

from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedModel


@dataclass(frozen=True)
class ModelSize:
    """Numbers of weights, and the widths that activations have.

    Attributes:
        weights: of the whole model; `learning`: those of them that the optimizer owns.
        layers, layers_learning: of all layers, and those that learn.
        text_rows, new_rows: of the two parts of the head's table; `text_rows_learn`: whether the
            optimizer owns them.
        depth, width, inner: number of layers, hidden size, MLP size.
        query, key: width of all heads' queries, and of their keys (or values).
    """

    weights: int
    learning: int
    layers: int
    layers_learning: int
    text_rows: int
    new_rows: int
    text_rows_learn: bool
    depth: int
    width: int
    inner: int
    query: int
    key: int


def count_weights(model: PreTrainedModel) -> ModelSize:
    """Of a model with split tables and frozen parts (see `split_tables` and `freeze`)."""
    config: Any = model.config
    head: Any = model.get_output_embeddings()
    heads = config.num_attention_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    everything = list(model.parameters())
    layers = list(model.get_decoder().layers.parameters())
    return ModelSize(
        weights=sum(p.numel() for p in everything),
        learning=sum(p.numel() for p in everything if p.requires_grad),
        layers=sum(p.numel() for p in layers),
        layers_learning=sum(p.numel() for p in layers if p.requires_grad),
        text_rows=head.text_rows.numel(),
        new_rows=head.new_rows.numel(),
        text_rows_learn=head.text_rows.requires_grad,
        depth=config.num_hidden_layers,
        width=config.hidden_size,
        inner=config.intermediate_size,
        query=heads * head_dim,
        key=config.num_key_value_heads * head_dim,
    )
