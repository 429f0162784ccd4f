"""Packed samples never see each other, and each gets what it gets alone."""

import torch

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
