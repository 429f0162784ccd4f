"""Packed samples never see each other, and each gets what it gets alone."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from voxtwist.model import attention


def packed(model, samples):
    attention.register()
    model.set_attn_implementation(attention.NAME)
    lengths = [len(sample) for sample in samples]
    return (
        model(
            input_ids=torch.cat(samples).unsqueeze(0),
            position_ids=torch.cat([torch.arange(n) for n in lengths]).unsqueeze(0),
            boundaries=torch.tensor([0, *lengths], dtype=torch.int32).cumsum(0, dtype=torch.int32),
            use_cache=False,
        )
        .logits[0]
        .split(lengths)
    )


def samples():
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(0, 40, (n,), generator=generator) for n in (7, 1, 12, 5)]


@torch.no_grad()
def test_packed_samples_get_the_logits_that_they_get_alone(model):
    alone = [model(input_ids=sample.unsqueeze(0)).logits[0] for sample in samples()]
    for together, single in zip(packed(model, samples()), alone, strict=True):
        torch.testing.assert_close(together, single, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_changing_one_sample_leaves_the_others_bit_identical(model):
    before = packed(model, samples())
    changed = samples()
    changed[2] = (changed[2] + 1) % 40
    after = packed(model, changed)
    for i in (0, 1, 3):
        assert torch.equal(before[i], after[i])
    assert not torch.allclose(before[2], after[2])


@torch.no_grad()
def test_under_autocast_all_three_inputs_take_its_type(monkeypatch):
    # Norms leave queries and keys in fp32; a kernel takes one type only, on a CPU the fast one.
    seen = []

    def attend(query, key, value, *rest):
        seen.append({query.dtype, key.dtype, value.dtype})
        return each_sample(query, key, value, *rest)

    each_sample = attention._each_sample
    monkeypatch.setattr(attention, "_each_sample", attend)
    query = torch.randn(1, 4, 6, 8)
    key = torch.randn(1, 2, 6, 8)
    with torch.autocast("cpu", torch.bfloat16):
        out, _ = attention.packed_attention(torch.nn.Module(), query, key, key.bfloat16(), None)
    assert seen == [{torch.float32}]
    expected = scaled_dot_product_attention(query, key, key, is_causal=True, enable_gqa=True)
    torch.testing.assert_close(out.float(), expected.transpose(1, 2), atol=0.03, rtol=0.03)


@pytest.mark.parametrize(
    ("device", "dtype", "kernel"),
    [
        ("cuda", torch.bfloat16, True),
        ("cuda", torch.float16, True),
        ("cuda", torch.float32, False),  # flash attention does not know it
        ("cpu", torch.bfloat16, False),
    ],
)
def test_the_variable_length_kernel_is_for_16_bits_on_cuda(device, dtype, kernel):
    assert attention.has_kernel(torch.device(device), dtype) == kernel
