"""How fast this machine is: matrix products, and real training steps on the real model's shape."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import psutil
import torch

from voxtwist.device import best_device, choose_precision, data_sheet
from voxtwist.model.size import ModelSize
from voxtwist.params import Params
from voxtwist.preflight.estimate import GPU_UTILISATION, Machine, SampleShape
from voxtwist.preflight.model_size import extended_model, vocabulary
from voxtwist.training.batches import Batch
from voxtwist.training.optimizer import build_optimizer
from voxtwist.training.spoken_model import SpokenModel
from voxtwist.vocabulary import IGNORED_LABEL

# Share of the speed of bare products that training steps reach on a CPU: benchmarks/estimate.py.
CPU_UTILISATION = 0.6
_CPU_TOKENS = 1024  # of a probe's step; a GPU takes train.batch_tokens


def this_machine(params: Params, size: ModelSize) -> Machine:
    """The devices of this machine, by the data sheet for known GPUs, else by measured products."""
    cuda = torch.cuda.is_available()
    name = torch.cuda.get_device_name() if cuda else f"CPU, {torch.get_num_threads()} threads"
    precision = choose_precision(params.train.precision, torch.device(best_device()))
    flops = measure_products(size, min(params.train.batch_tokens, _CPU_TOKENS), precision)
    sheet = data_sheet(name)
    memory = (
        torch.cuda.get_device_properties(0).total_memory if cuda else psutil.virtual_memory().total
    )
    return Machine(
        name=name,
        devices=torch.cuda.device_count() if cuda else 1,
        flops=sheet.flops if sheet else flops,
        utilisation=GPU_UTILISATION if cuda else CPU_UTILISATION,
        memory_gb=memory / 1e9,
    )


def measure_products(size: ModelSize, tokens: int, precision: str, seconds: float = 1.0) -> float:
    """FLOP/s of a layer's products, in their own proportions."""
    device = best_device()
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    shapes = [(size.width, size.query), (size.width, 2 * size.key), (size.query, size.width)]
    shapes += [(size.width, 2 * size.inner), (size.inner, size.width)]
    pairs = [
        (
            torch.randn(tokens, n, dtype=dtype, device=device),
            torch.randn(n, m, device=device).to(dtype),
        )
        for n, m in shapes
    ]

    def once() -> None:
        for left, right in pairs:
            left @ right

    work = sum(2 * tokens * n * m for n, m in shapes)
    return work / _seconds_each(once, seconds)


@dataclass(frozen=True)
class Speed:
    """Measured training speed of the whole model on one device."""

    tokens_per_second: float
    steps: int


def measure_training(params: Params, data: SampleShape, seconds: float) -> Speed:
    """Real training steps of the real model's shape with random weights, for about `seconds`.

    On a CPU the steps are of fewer tokens, and of one and of three layers: a step's time is a
    straight line in the number of layers.
    """
    if torch.cuda.is_available():
        tokens = params.train.batch_tokens
        each, steps = _step_seconds(params, data, None, tokens, seconds)
        return Speed(tokens / each, steps)
    tokens = min(_CPU_TOKENS, params.train.batch_tokens)
    few, first = _step_seconds(params, data, 1, tokens, seconds / 3)
    more, second = _step_seconds(params, data, 3, tokens, 2 * seconds / 3)
    depth = extended_model(params, "meta").config.num_hidden_layers
    each = few + (depth - 1) * max(0.0, more - few) / 2
    return Speed(tokens / each, first + second)


def _step_seconds(
    params: Params, data: SampleShape, depth: int | None, tokens: int, seconds: float
) -> tuple[float, int]:
    device = torch.device(best_device())
    settings = params.train
    model = SpokenModel(extended_model(params, device.type, depth), vocabulary(params), settings)
    model.to(device)
    optimizer = build_optimizer(model, settings)
    batch = _batch(params, data, tokens).to(device)
    half = choose_precision(settings.precision, device) == "bf16"

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            loss, _ = model(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(
            [p for p in model.parameters() if p.requires_grad], settings.max_grad_norm
        )
        optimizer.step()
        optimizer.zero_grad()

    steps = 0

    def counted() -> None:
        nonlocal steps
        steps += 1
        step()

    return _seconds_each(counted, seconds), steps


def _batch(params: Params, data: SampleShape, tokens: int) -> Batch:
    """Samples of the data's average shape, as many as a row of `tokens` has room for."""
    ids = vocabulary(params)
    length = min(tokens, round(data.tokens))
    count = tokens // length
    speech = round(length * data.speech / data.tokens)
    text = round(length * data.text / data.tokens)
    one = torch.full((length,), ids.code_offset)
    one[: length - speech] = 0
    labels = one.clone()
    labels[: length - speech - text] = IGNORED_LABEL
    labels[0] = IGNORED_LABEL
    return Batch(
        one.repeat(count)[None],
        labels.repeat(count)[None],
        torch.arange(length).repeat(count)[None],
        torch.from_numpy(np.arange(0, length * count + 1, length, dtype=np.int32)),
    )


def _seconds_each(work: Callable[[], None], seconds: float) -> float:
    """Fastest of the calls that fit into the time, at least two, after one to warm up."""
    work()
    _wait()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 2 or time.perf_counter() < end:
        started = time.perf_counter()
        work()
        _wait()
        times.append(time.perf_counter() - started)
    return min(times)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
