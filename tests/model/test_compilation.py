"""What torch.compile makes of a layer where one kernel attends over the whole row.

CUDA's kernel cannot run here: an operator that torch.compile sees just as little into stands in.
"""

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend
from torch._dynamo.utils import counters
from torch.nn.attention import varlen

from voxtwist.model import attention
from voxtwist.model.base import load_model
from voxtwist.model.checkpointing import enable_checkpointing
from voxtwist.model.compilation import compile_layers


def weights(query, key, starts):
    """Attention's weights (heads, T, T): causal, and none between samples."""
    positions = torch.arange(len(query))
    sample = torch.bucketize(positions, starts[1:].long(), right=True)
    seen = (sample[:, None] == sample) & (positions[:, None] >= positions)
    key = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
    scores = torch.einsum("qhd,khd->hqk", query, key) / query.shape[-1] ** 0.5
    return scores.masked_fill(~seen, -torch.inf).softmax(-1)


@torch.library.custom_op("voxtwist_test::each_sample", mutates_args=())
def each_sample(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, starts: torch.Tensor, longest: int
) -> torch.Tensor:
    assert longest == starts.diff().max()
    value = value.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
    return torch.einsum("hqk,khd->qhd", weights(query, key, starts), value).contiguous()


@torch.library.custom_op("voxtwist_test::each_sample_backward", mutates_args=())
def each_sample_backward(
    slope: torch.Tensor,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    starts: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    # By hand: inside an operator autograd is off.
    shared = query.shape[1] // key.shape[1]
    p = weights(query, key, starts)
    by_p = torch.einsum("qhd,khd->hqk", slope, value.repeat_interleave(shared, dim=1))
    by_scores = p * (by_p - (by_p * p).sum(-1, keepdim=True)) / query.shape[-1] ** 0.5
    q = torch.einsum("hqk,khd->qhd", by_scores, key.repeat_interleave(shared, dim=1))
    k = torch.einsum("hqk,qhd->khd", by_scores, query)
    v = torch.einsum("hqk,qhd->khd", p, slope)
    k, v = (part.unflatten(1, (-1, shared)).sum(2) for part in (k, v))
    return q.contiguous(), k.contiguous(), v.contiguous()


each_sample.register_fake(lambda query, *_: torch.empty_like(query).contiguous())
each_sample_backward.register_fake(
    lambda _, query, key, value, __: (
        torch.empty_like(query).contiguous(),
        torch.empty_like(key).contiguous(),
        torch.empty_like(value).contiguous(),
    )
)
each_sample.register_autograd(
    lambda ctx, slope: (*each_sample_backward(slope, *ctx.saved_tensors), None, None),
    setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs[:4]),
)


@pytest.fixture
def kernel(monkeypatch):
    def stand_in(query, key, value, starts, _, longest, __, **___):
        return each_sample(query, key, value, starts, longest)

    attention.register()
    monkeypatch.setattr(varlen, "varlen_attn", stand_in)
    monkeypatch.setattr(attention, "has_kernel", lambda *_: True)
    torch._dynamo.reset()
    counters.clear()


def gradients(model, lengths):
    ids = torch.arange(sum(lengths))[None] % 40
    boundaries = torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)
    model.zero_grad()
    hidden = model.get_decoder()(
        input_ids=ids,
        position_ids=torch.cat([torch.arange(n) for n in lengths])[None],
        use_cache=False,
        **attention.sample_bounds(boundaries, ids.device),
    ).last_hidden_state
    hidden.square().mean().backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("checkpointing", ["none", "selective", "full"])
def test_all_layers_share_one_graph_without_a_break_in_rows_of_any_length(
    kernel, tiny_base, checkpointing
):
    models = [load_model(tiny_base).train() for _ in range(2)]
    for model in models:
        model.set_attn_implementation(attention.NAME)
        enable_checkpointing(model, checkpointing)
    eager, compiled = models
    graphs = CompileCounterWithBackend("aot_eager")
    compile_layers(compiled, graphs)
    assert len(compiled.get_decoder().layers) > 1
    for lengths in ([7, 12, 5], [20, 3], [4, 4, 9, 30]):
        expected = gradients(eager, lengths)
        for name, gradient in gradients(compiled, lengths).items():
            torch.testing.assert_close(gradient, expected[name], atol=1e-6, rtol=1e-5)
    assert not counters["graph_break"]
    assert graphs.frame_count == 1
