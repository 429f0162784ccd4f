"""Tokens, floating-point operations, hours and memory of a training, on paper."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from voxtwist.data.files import rows_path
from voxtwist.data.index import TokenIndex
from voxtwist.device import DATA_SHEETS, H100
from voxtwist.model.loss import CHUNK
from voxtwist.model.size import ModelSize
from voxtwist.params import Train
from voxtwist.training.utilisation import training_flops
from voxtwist.vocabulary import IGNORED_LABEL

FP32, BF16 = 4, 2  # bytes
# Share of a GPU's peak that trainings of such small models reach; benchmarks/estimate.py for CPUs.
GPU_UTILISATION = 0.4


@dataclass(frozen=True)
class SampleShape:
    """What is trained on in one epoch: samples, and tokens of an average one."""

    samples: int
    prompt: float
    text: float
    speech: float

    @property
    def tokens(self) -> float:
        return self.prompt + self.text + self.speech


def voice_assistant(frame_rate_hz: int) -> SampleShape:
    """VoiceAssistant-400K, 85 % of 463,071 rows, at this many codes per second.

    The lengths are those of benchmarks/training.py: 619 codes are 12.4 s of the published data.
    """
    return SampleShape(393_610, 60, 155, 619 * frame_rate_hz / 50)


@dataclass(frozen=True)
class Machine:
    """Devices that train together.

    Attributes:
        flops: of one device in the precision of training, FLOP/s.
        utilisation: the share of it that a training reaches.
        memory_gb: of one device, 10^9 bytes.
        dollars: per hour of one device; None: unknown.
    """

    name: str
    devices: int
    flops: float
    utilisation: float
    memory_gb: float
    dollars: float | None = None


def h100(devices: int) -> Machine:
    return Machine(f"{devices} x H100", devices, DATA_SHEETS[H100].flops, GPU_UTILISATION, 80, 3.0)


@dataclass(frozen=True)
class Estimate:
    """A training on a machine.

    Attributes:
        tokens, flops: in total; `hours`: of training, without evaluations.
        memory_gb: of one device: weights, gradients, optimizer, activations.
        parts_gb: the same, by part.
        fits: into the device.
        dollars: None where the price is unknown.
    """

    machine: str
    tokens: float
    flops: float
    hours: float
    memory_gb: float
    parts_gb: dict[str, float]
    fits: bool
    dollars: float | None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def estimate(size: ModelSize, data: SampleShape, train: Train, machine: Machine) -> Estimate:
    """A whole training: `train.epochs` over the data, or `train.max_steps`."""
    tokens = data.samples * data.tokens * train.epochs
    if train.max_steps:
        step = train.step_tokens or train.batch_tokens
        tokens = min(tokens, train.max_steps * step)
    flops = tokens / data.tokens * sample_flops(size, data, train)
    hours = flops / (machine.flops * machine.utilisation * machine.devices) / 3600
    parts = memory(size, train)
    used = sum(parts.values())
    return Estimate(
        machine=machine.name,
        tokens=tokens,
        flops=flops,
        hours=hours,
        memory_gb=used,
        parts_gb=parts,
        fits=used <= machine.memory_gb,
        dollars=machine.dollars and hours * machine.devices * machine.dollars,
    )


def sample_flops(size: ModelSize, data: SampleShape, train: Train) -> float:
    """Operations of one average sample, forward and backward."""
    return training_flops(
        size, train, data.tokens, data.tokens**2, data.text, data.speech, again=True
    )


def memory(size: ModelSize, train: Train) -> dict[str, float]:
    """10^9 bytes of one device, by what holds them; AdamW in fp32, bf16 where it is not fp32."""
    half = train.precision != "fp32"
    value = BF16 if half else FP32
    # Per layer: inputs of norms and products, q, k, v, attention's output, three MLP products.
    layer = 4 * size.width * value + (2 * size.query + 2 * size.key) * value
    layer += 4 * size.inner * value + 2 * size.width * FP32
    kept = size.depth * layer
    if train.gradient_checkpointing != "none":  # each layer's input, and one layer whole
        kept = size.depth * size.width * FP32 + layer
    if train.gradient_checkpointing == "selective":  # q, k, v, attention, its product; gate and up
        kept += size.depth * (2 * (size.query + size.key + size.inner) + size.width) * value
    rows = (size.text_rows + size.new_rows) / size.width
    # They become softmax and gradient in place; the products before and after it are in bf16.
    logits = min(CHUNK, train.batch_tokens) * rows * (FP32 + (2 * BF16 if half else 0))
    parts = {
        "weights": size.weights * (FP32 + (BF16 if half else 0)),
        "gradients": size.learning * FP32,
        "optimizer": size.learning * 2 * FP32,
        "activations": train.batch_tokens * kept,
        "logits": logits,
    }
    return {name: value / 1e9 for name, value in parts.items()}


_READ = 100  # samples whose labels are looked at


def split_shape(train: Path) -> SampleShape:
    """What is in an SFT file with its table of rows beside it.

    Raises:
        VoxtwistError: there is no such file.
    """
    index = TokenIndex.open(train)
    table = pq.read_table(rows_path(train), columns=["n_tokens", "n_codes"])
    tokens, codes = (column.to_numpy().mean() for column in table.itercolumns())
    first = [index.read(i)["labels"] for i in range(min(_READ, len(index)))]
    prompt = sum(int((labels == IGNORED_LABEL).sum()) for labels in first) / len(first)
    return SampleShape(len(index), prompt, tokens - prompt - codes, codes)
