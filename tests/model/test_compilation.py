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


@torch.library.custom_op("voxtwist_test::each_sample", mutates_args=())
def each_sample(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, starts: torch.Tensor, longest: int
) -> torch.Tensor:
    assert longest == starts.diff().max()
    return _attend(query, key, value, starts)


@torch.library.custom_op("voxtwist_test::each_sample_backward", mutates_args=())
def each_sample_backward(
    slope: torch.Tensor,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    starts: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    inputs = [part.detach().requires_grad_() for part in (query, key, value)]
    with torch.enable_grad():
        out = _attend(*inputs, starts)
    q, k, v = torch.autograd.grad(out, inputs, slope)
    return q.contiguous(), k.contiguous(), v.contiguous()


def _attend(query, key, value, starts):
    heads_first = (part.transpose(0, 1)[None] for part in (query, key, value))
    return attention._each_sample(*heads_first, starts, None)[0].contiguous()


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
