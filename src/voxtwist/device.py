"""Where models run when nobody says so, and in which arithmetic."""

import time

import torch


def best_device() -> str:
    """ "cuda" where there is a GPU, else "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def choose_precision(setting: str, device: torch.device) -> str:
    """`bf16` or `fp32`: `auto` asks the device which is faster.

    A GPU that knows bfloat16 takes it. A CPU is timed for about a second, because those without
    native bfloat16 products are slower with it.
    """
    if setting != "auto":
        return setting
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    return "bf16" if _products(torch.bfloat16) > 1.2 * _products(torch.float32) else "fp32"


def _products(dtype: torch.dtype, seconds: float = 0.4) -> int:
    """How many matrix products of a typical size the CPU computes in that time."""
    left, right = torch.randn(512, 1024, dtype=dtype), torch.randn(1024, 1024, dtype=dtype)
    left @ right
    count, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        left @ right
        count += 1
    return count
