"""What the backward pass computes again."""

from collections import Counter

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import CheckpointPolicy

from voxtwist.model import attention
from voxtwist.model.base import load_model
from voxtwist.model.checkpointing import _policy, enable_checkpointing


class Operations(TorchDispatchMode):
    """Counts what torch computes inside the block."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.counts[func.name().split(".")[0].removeprefix("aten::")] += 1
        return func(*args, **(kwargs or {}))


@pytest.fixture
def backward(tiny_base):
    """Counts of the operations of a backward pass, by the variant."""
    attention.register()
    ids = torch.arange(30)[None]

    def count(variant):
        model = load_model(tiny_base).train()
        model.set_attn_implementation(attention.NAME)
        enable_checkpointing(model, variant)
        loss = model(input_ids=ids, use_cache=False).logits.square().mean()
        with Operations() as seen:
            loss.backward()
        return seen.counts

    return count


def test_selective_computes_norms_again_but_no_product_and_no_attention(backward):
    none, selective, full = (backward(variant) for variant in ("none", "selective", "full"))
    for costly in ("mm", "_scaled_dot_product_flash_attention_for_cpu"):
        assert selective[costly] == none[costly] < full[costly]
    for cheap in ("rsqrt", "silu"):
        assert none[cheap] < selective[cheap] == full[cheap]


def test_of_the_products_only_the_layers_last_is_not_kept():
    up, down = torch.empty(8, 12, device="meta"), torch.empty(12, 8, device="meta")
    product = torch.ops.aten.mm.default
    assert _policy(12, None, product, down, up) is CheckpointPolicy.MUST_SAVE
    assert _policy(12, None, product, up, down) is CheckpointPolicy.PREFER_RECOMPUTE
    # A model that names no such width.
    assert _policy(None, None, product, up, down) is CheckpointPolicy.MUST_SAVE
