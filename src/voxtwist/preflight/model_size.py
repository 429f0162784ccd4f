"""How large the model of params.yaml is, counted on a model without memory."""

from functools import cache
from types import SimpleNamespace
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, Qwen3Config

from voxtwist.errors import VoxtwistError
from voxtwist.model.base import EMBEDDED
from voxtwist.model.embedding import split_tables
from voxtwist.model.freezing import freeze
from voxtwist.model.size import ModelSize, count_weights
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
    _, text_size = base_config(params.base.model, params.base.revision)
    model = extended_model(params, "meta")
    split_tables(model, text_size)
    freeze(model, params.train.freeze)
    return count_weights(model)


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
