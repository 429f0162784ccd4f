"""Activations of the layers that are computed again in the backward pass instead of being kept."""

from functools import partial
from typing import Any

import torch
from torch.utils.checkpoint import CheckpointPolicy, create_selective_checkpoint_contexts
from transformers import PreTrainedModel

# What costs much to compute. Norms, rotations, activations and casts between these cost little.
_PRODUCTS = {"aten::mm", "aten::addmm"}
_KEPT = _PRODUCTS | {
    "aten::bmm",
    "aten::_scaled_dot_product_flash_attention_for_cpu",
    "aten::_scaled_dot_product_flash_attention",
    "aten::_scaled_dot_product_efficient_attention",
    "aten::_scaled_dot_product_cudnn_attention",
    "torch_attn::_varlen_attn",
}


def enable_checkpointing(model: PreTrainedModel, variant: str) -> None:
    """Keep less of each layer's forward pass.

    Args:
        variant: `none`; `selective`: matrix products and attention are kept, and what lies between
            them is computed again; `full`: only the layer's input is kept.
    """
    if variant == "none":
        return
    options: dict[str, Any] = {"use_reentrant": False}
    if variant == "selective":
        policy = partial(_policy, getattr(model.config, "intermediate_size", None))
        options["context_fn"] = partial(create_selective_checkpoint_contexts, policy)
    model.activation_checkpointing_enable(activation_checkpointing_kwargs=options)


def _policy(
    intermediate_size: int | None, _: Any, operation: torch._ops.OpOverload, *inputs: Any, **__: Any
) -> CheckpointPolicy:
    name = operation.name().split(".")[0]
    # The MLP's last product ends the layer, and the next layer keeps it as its input. Computing
    # again stops before it.
    ends_the_layer = name in _PRODUCTS and inputs[-2].shape[-1] == intermediate_size
    keep = name in _KEPT and not ends_the_layer
    return CheckpointPolicy.MUST_SAVE if keep else CheckpointPolicy.PREFER_RECOMPUTE
