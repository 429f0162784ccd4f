"""Where models run when nobody says so, in which arithmetic, and the data sheets of GPUs."""

import time
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class DataSheet:
    """Dense bf16 products in FLOP/s, and memory bandwidth in bytes/s."""

    flops: float
    bandwidth: float


# By the names that drivers report. The vendors' data sheets, without sparsity; GeForce cards at the
# rate of fp32 accumulation, which bf16 products need.
DATA_SHEETS = {
    "NVIDIA B200": DataSheet(2250e12, 8.0e12),
    "NVIDIA GH200 480GB": DataSheet(989e12, 4.0e12),
    "NVIDIA H200": DataSheet(989e12, 4.8e12),
    "NVIDIA H100 80GB HBM3": DataSheet(989e12, 3.35e12),
    "NVIDIA H100 NVL": DataSheet(835e12, 3.9e12),
    "NVIDIA H100 PCIe": DataSheet(756e12, 2.0e12),
    "NVIDIA A100-SXM4-80GB": DataSheet(312e12, 2.039e12),
    "NVIDIA A100-SXM4-40GB": DataSheet(312e12, 1.555e12),
    "NVIDIA A100 80GB PCIe": DataSheet(312e12, 1.935e12),
    "NVIDIA A100-PCIE-40GB": DataSheet(312e12, 1.555e12),
    "NVIDIA L40S": DataSheet(362e12, 0.864e12),
    "NVIDIA L40": DataSheet(181e12, 0.864e12),
    "NVIDIA L4": DataSheet(121e12, 0.3e12),
    "NVIDIA A40": DataSheet(150e12, 0.696e12),
    "NVIDIA A10": DataSheet(125e12, 0.6e12),
    "NVIDIA A10G": DataSheet(70e12, 0.6e12),
    "NVIDIA RTX A6000": DataSheet(155e12, 0.768e12),
    "NVIDIA RTX 6000 Ada Generation": DataSheet(364e12, 0.96e12),
    "NVIDIA GeForce RTX 4090": DataSheet(165e12, 1.008e12),
    "NVIDIA GeForce RTX 3090": DataSheet(71e12, 0.936e12),
}
H100 = "NVIDIA H100 80GB HBM3"


def data_sheet(device_name: str) -> DataSheet | None:
    """Of exactly this device (an L40 is no L4), or None where it is not known."""
    return DATA_SHEETS.get(device_name)


def best_device() -> str:
    """ "cuda" where there is a GPU, else "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def choose_precision(setting: str, device: torch.device) -> str:
    """`bf16` or `fp32`: `auto` asks the device which is faster.

    A GPU that computes in bfloat16 takes it; older ones (V100, T4) only emulate it, slowly. A CPU
    is timed for about a second, because those without native bfloat16 products are slower with it.
    """
    if setting != "auto":
        return setting
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if _products(torch.bfloat16) > 1.2 * _products(torch.float32) else "fp32"


def _products(dtype: torch.dtype, seconds: float = 0.4) -> int:
    """How many matrix products of a typical size the CPU computes in that time."""
    # No random numbers: those that training draws must not depend on this.
    left, right = torch.ones(512, 1024, dtype=dtype), torch.ones(1024, 1024, dtype=dtype)
    left @ right
    count, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        left @ right
        count += 1
    return count
