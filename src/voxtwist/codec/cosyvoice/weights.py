"""Published `.pt` weights into modules, strictly: every tensor used, none missing."""

import textwrap
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from voxtwist.errors import VoxtwistError

# The two halves of a weight-normalised weight: as published, and as torch >= 2.0 names them.
_WEIGHT_NORM_NAMES = (
    (".weight_g", ".weight_v"),
    (".parametrizations.weight.original0", ".parametrizations.weight.original1"),
)


def load_weights(module: nn.Module, path: Path, device: str | torch.device) -> None:
    """Fill `module` (built on the meta device) from `path`, ready for inference on `device`.

    Raises:
        VoxtwistError: the file is missing, is not a plain dictionary of tensors, or holds other
            tensors than the configuration asks for.
    """
    state = read_pt(path)
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise VoxtwistError(f"{path} is not a dictionary of tensors")
    state = {name: tensor.float() for name, tensor in plain_state(state).items()}
    try:
        module.load_state_dict(state, assign=True)
    except RuntimeError as error:
        detail = textwrap.shorten(str(error).partition("\n")[2], 300)
        raise VoxtwistError(f"{path} does not fit cosyvoice.yaml: {detail}") from None
    module.to(device).eval().requires_grad_(False)


def read_pt(path: Path) -> Any:
    """What a `.pt` file holds, if that is only tensors and plain containers of them.

    Raises:
        VoxtwistError: no such file, or one that is damaged or wants to run code.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise VoxtwistError(f"{path} does not exist: is the model's folder complete?") from None
    # torch reports a damaged or unsafe file by many types, with advice to trust it after all.
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise VoxtwistError(f"{path} cannot be read as plain tensors: {reason}") from None


def plain_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Drop a `generator.` prefix and multiply weight normalisation out: g · v / |v|."""
    state = {name.removeprefix("generator."): tensor for name, tensor in state.items()}
    for length_name, direction_name in _WEIGHT_NORM_NAMES:
        for name in [name for name in state if name.endswith(length_name)]:
            stem = name.removesuffix(length_name)
            if stem + direction_name in state:
                length, direction = state.pop(name), state.pop(stem + direction_name)
                norm = direction.flatten(1).norm(dim=1).view(-1, *[1] * (direction.ndim - 1))
                state[stem + ".weight"] = direction * (length / norm)
    return state
