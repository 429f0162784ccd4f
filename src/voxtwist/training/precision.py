"""Which arithmetic is fastest here: `train.precision: auto` asks the device."""

import time

import torch


def choose_precision(setting: str, device: torch.device) -> str:
    """`bf16` or `fp32`.

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
