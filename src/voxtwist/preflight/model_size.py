"""How large a model is and what of it learns, counted on a model without memory."""

from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, Qwen3Config

from voxtwist.errors import VoxtwistError
from voxtwist.model.base import EMBEDDED
from voxtwist.model.embedding import split_tables
from voxtwist.model.freezing import freeze
from voxtwist.params import Params
from voxtwist.vocabulary import load_fast_tokenizer

# So that an estimate needs neither hub nor download: the published shapes, and text vocabularies.
_PUBLISHED: dict[str, tuple[Any, int]] = {
    "Qwen/Qwen3-0.6B": (
        Qwen3Config(
            vocab_size=151_936, hidden_size=1024, intermediate_size=3072, num_hidden_layers=28,
            num_attention_heads=16, num_key_value_heads=8, head_dim=128, tie_word_embeddings=True,
        ),
        151_669,
    ),
    EMBEDDED: (
        LlamaConfig(
            vocab_size=49_152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30,
            num_attention_heads=9, num_key_value_heads=3, head_dim=64, tie_word_embeddings=True,
        ),
        49_152,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class ModelSize:
    """Numbers of weights, and the widths that activations have.

    Attributes:
        layers: weights of all layers; `text_rows`, `new_rows`: of the two parts of the table.
        learning: weights that the optimizer owns; `layers_learn`, `text_rows_learn`: whether
            these parts are among them.
        depth, width, inner: number of layers, hidden size, MLP size.
        query, key: width of all heads' queries, and of their keys (or values).
    """

    layers: int
    text_rows: int
    new_rows: int
    learning: int
    layers_learn: bool
    text_rows_learn: bool
    depth: int
    width: int
    inner: int
    query: int
    key: int

    @property
    def weights(self) -> int:
        return self.layers + self.text_rows + self.new_rows


@cache
def base_config(model: str, revision: str | None) -> tuple[Any, int]:
    """The configuration of a base model, and how many text tokens it has.

    Raises:
        VoxtwistError: it is neither here nor on the hub, nor one whose shape is known.
    """
    if model in _PUBLISHED:
        return _PUBLISHED[model]
    try:
        config: Any = AutoConfig.from_pretrained(model, revision=revision, trust_remote_code=False)
    except (OSError, ValueError):
        raise VoxtwistError(
            f"base.model {model} has no config.json here and none on the hub: name its folder"
        ) from None
    try:
        return config, len(load_fast_tokenizer(model, revision))
    except VoxtwistError:
        return config, config.vocab_size


def model_size(params: Params) -> ModelSize:
    """The base model of `params` with its speech vocabulary, as `params.train.freeze` trains it.

    Raises:
        VoxtwistError: see `base_config`.
    """
    config, text_size = base_config(params.base.model, params.base.revision)
    model = extended_model(params, "meta")
    table, _ = split_tables(model, text_size)
    freeze(model, params.train.freeze)
    decoder = list(model.get_decoder().layers.parameters())
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return ModelSize(
        layers=sum(p.numel() for p in decoder),
        text_rows=table.text_rows.numel(),
        new_rows=table.new_rows.numel(),
        learning=sum(p.numel() for p in model.parameters() if p.requires_grad),
        layers_learn=any(p.requires_grad for p in decoder),
        text_rows_learn=table.text_rows.requires_grad,
        depth=config.num_hidden_layers,
        width=config.hidden_size,
        inner=config.intermediate_size,
        query=config.num_attention_heads * head_dim,
        key=config.num_key_value_heads * head_dim,
    )


def extended_model(params: Params, device: str, depth: int | None = None) -> Any:
    """The base model's shape with rows for speech, unloaded; `depth` layers instead of its own."""
    config, _ = base_config(params.base.model, params.base.revision)
    values = config.to_dict() | {"vocab_size": rows(params)}
    if depth is not None:
        values |= {"num_hidden_layers": depth, "layer_types": None}
    with torch.device(device):
        return AutoModelForCausalLM.from_config(type(config).from_dict(values))


def rows(params: Params) -> int:
    """Rows of the extended table, padded as `twist` pads it."""
    ids = vocabulary(params).code_offset + params.codec.n_codes
    pad = params.twist.pad_to_multiple_of
    return -(-ids // pad) * pad


def vocabulary(params: Params) -> Any:
    """What training asks of a `SpeechVocabulary`, without a tokenizer."""
    _, text = base_config(params.base.model, params.base.revision)
    marks = 4 if params.data.format == "v1.1" else 0
    return SimpleNamespace(
        text_size=text, code_offset=text + marks, speech_end=text + 3 if marks else None
    )
