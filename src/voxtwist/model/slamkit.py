"""Checkpoints of the `UnitLM` wrapper (SlamKit's, model type `speech_language_model`).

The wrapper's config.json holds the stock model's configuration as `base_config`, and its weights
carry the prefix `lm.`. Neither holds a tokenizer: format v1 put the speech ids right behind the
text ids (with Qwen3 from 151,669), v1.1 the four modality tokens before them (from 151,673).
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import AutoConfig, PreTrainedConfig

from voxtwist.errors import VoxtwistError
from voxtwist.model.base import embedding_rows, save_checkpoint
from voxtwist.vocabulary import FORMATS, MODALITY_TOKENS, load_extended_tokenizer

MODEL_TYPE = "speech_language_model"
_PREFIX = "lm."


def is_slamkit(checkpoint: Path) -> bool:
    """Whether a folder holds a wrapper checkpoint."""
    file = checkpoint / "config.json"
    return file.is_file() and json.loads(file.read_bytes()).get("model_type") == MODEL_TYPE


def import_slamkit(
    checkpoint: Path,
    output: Path,
    tokenizer: str | Path,
    fmt: str | None = None,
    n_codes: int = 4096,
) -> str:
    """Write a wrapper checkpoint as a plain one, with the tokenizer that its ids are of.

    Args:
        tokenizer: the base model's (folder or hub name), or one that is extended already.
        fmt: "v1" or "v1.1"; None tells them by the number of embedding rows, where that is not
            padded.
        n_codes: of the codec.

    Returns:
        The format.

    Raises:
        VoxtwistError: no wrapper checkpoint, weights that do not fit its configuration, or a format
            that cannot be told or does not fit into the embedding.
    """
    if not is_slamkit(checkpoint):
        raise VoxtwistError(
            f"{checkpoint} holds no UnitLM checkpoint: its config.json must have the model_type "
            f"{MODEL_TYPE}"
        )
    config, weights = _read_config(checkpoint), _read_weights(checkpoint)
    rows = embedding_rows(weights)
    fmt = fmt or _tell_format(checkpoint, rows, tokenizer, n_codes)
    extended = load_extended_tokenizer(tokenizer, n_codes, fmt)
    if len(extended) > rows:
        raise VoxtwistError(
            f"{checkpoint} has {rows} embedding rows, but {tokenizer} with {n_codes} codes in "
            f"format {fmt} has {len(extended)} ids: give the tokenizer of its base model"
        )
    try:
        save_checkpoint(config, weights, extended, output)
    except RuntimeError as error:
        raise VoxtwistError(
            f"the weights of {checkpoint} do not fit its base_config "
            f"({str(error).splitlines()[-1].strip()})"
        ) from None
    return fmt


def _tell_format(checkpoint: Path, rows: int, tokenizer: str | Path, n_codes: int) -> str:
    text_ids = len(load_extended_tokenizer(tokenizer, n_codes, "v1")) - n_codes
    formats = {text_ids + n_codes: "v1", text_ids + n_codes + len(MODALITY_TOKENS): "v1.1"}
    if rows not in formats:
        raise VoxtwistError(
            f"{checkpoint} has {rows} embedding rows, from which its format cannot be told: say "
            f"--format {' or '.join(FORMATS)}"
        )
    return formats[rows]


def _read_config(checkpoint: Path) -> PreTrainedConfig:
    """The stock model's configuration."""
    base: Any = json.loads((checkpoint / "config.json").read_bytes()).get("base_config")
    if not isinstance(base, dict) or "model_type" not in base:
        raise VoxtwistError(f"{checkpoint / 'config.json'} has no base_config with a model_type")
    settings = {key: value for key, value in base.items() if key != "_name_or_path"}
    return AutoConfig.for_model(settings.pop("model_type"), **settings)


def _read_weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    """All weights under the stock model's names; a tied head is left out."""
    files = sorted(checkpoint.glob("*.safetensors"))
    weights: dict[str, torch.Tensor] = {}
    for file in files:
        weights |= load_file(file)
    for file in [] if files else sorted(checkpoint.glob("pytorch_model*.bin")):
        weights |= torch.load(file, map_location="cpu", weights_only=True)
    if not weights:
        raise VoxtwistError(f"{checkpoint} holds neither *.safetensors nor pytorch_model*.bin")
    stock = {n.removeprefix(_PREFIX): w for n, w in weights.items() if n.startswith(_PREFIX)}
    if not any(name.endswith("embed_tokens.weight") for name in stock):
        raise VoxtwistError(f"the weights of {checkpoint} are not under {_PREFIX!r}: no UnitLM")
    return stock
