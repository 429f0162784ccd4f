"""Attention over packed rows: samples lie end to end and never see each other.

Registered with transformers as `packed`. On CUDA it is one variable-length kernel (torch's own
flash attention), which knows 16-bit numbers only; on a CPU, and in fp32 on CUDA, one
scaled-dot-product call for each sample, because a dense block-diagonal mask costs the square of
the row instead of the sum of the squares of its samples.
"""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface

NAME = "packed"


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    boundaries: Tensor | None = None,
    starts: Tensor | None = None,
    longest: int | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Causal attention inside each sample.

    Args:
        query: (1, heads, T, head_dim). key, value: (1, key/value heads, T, head_dim).
        boundaries, starts, longest: see `sample_bounds`; without them the row is one sample.

    Returns:
        (1, T, heads, head_dim), and no attention weights.
    """
    device = query.device.type
    if torch.is_autocast_enabled(device):
        # Norms of queries and keys (Qwen3) leave them in fp32; the values are in 16 bits. The
        # CPU's kernel takes 2.5 times as long backwards in 16 bits.
        dtype = torch.float32 if device == "cpu" else torch.get_autocast_dtype(device)
        query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
    if boundaries is None:
        boundaries = torch.tensor([0, query.shape[2]], dtype=torch.int32)
    if not has_kernel(query.device, query.dtype):
        return _each_sample(query, key, value, boundaries, scaling), None
    if starts is None or longest is None:
        starts, longest = boundaries.to(query.device), int(boundaries.diff().max())
    return _variable_length(query, key, value, starts, longest, scaling), None


def sample_bounds(boundaries: Tensor, device: torch.device) -> dict[str, Any]:
    """What `packed_attention` must know of a row, worked out once for all layers.

    Args:
        boundaries: int32 (samples + 1,) on the CPU: where samples start, and T.

    Returns:
        Arguments of the decoder's forward: `boundaries` as given, `starts`, the same on the device,
        and `longest`, tokens of the longest sample.
    """
    return {
        "boundaries": boundaries,
        "starts": boundaries.to(device, non_blocking=True),
        "longest": int(boundaries.diff().max()),
    }


def has_kernel(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether one kernel takes a whole row, which torch.compile can trace, too."""
    return device.type == "cuda" and dtype in (torch.bfloat16, torch.float16)


@torch.compiler.disable  # the loop over samples is different in every batch
def _each_sample(
    query: Tensor, key: Tensor, value: Tensor, boundaries: Tensor, scaling: float | None
) -> Tensor:
    with torch.autocast(query.device.type, enabled=False):
        out = [
            scaled_dot_product_attention(
                query[:, :, start:end], key[:, :, start:end], value[:, :, start:end],
                is_causal=True, scale=scaling, enable_gqa=True,
            )
            for start, end in pairwise(boundaries.tolist())
        ]  # fmt: skip
    return torch.cat(out, dim=2).transpose(1, 2)


def _variable_length(
    query: Tensor, key: Tensor, value: Tensor, starts: Tensor, longest: int, scaling: float | None
) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    q, k, v = (part[0].transpose(0, 1) for part in (query, key, value))
    out = varlen_attn(
        q, k, v, starts, starts, longest, longest,
        scale=scaling, window_size=(-1, 0), enable_gqa=True,
    )  # fmt: skip
    assert isinstance(out, Tensor)  # a tuple only where more is asked for
    return out.unsqueeze(0)


def _no_mask(*_: Any, **__: Any) -> None:
    """Boundaries and causality say it all; transformers need not build a mask."""


def register() -> None:
    """Make `packed` an attention implementation of transformers."""
    AttentionInterface.register(NAME, packed_attention)
    AttentionMaskInterface.register(NAME, _no_mask)
