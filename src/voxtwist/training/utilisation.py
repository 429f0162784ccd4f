"""Model FLOPs utilisation (MFU; Chowdhery et al. 2022, PaLM, appendix B)."""

import torch

from voxtwist.training.spoken_model import SpokenModel

# Dense bf16 products, FLOP/s, from the vendors' data sheets; the first name that is in the
# device's. The arithmetic of an fp32 training is too far below it to be compared with it.
PEAKS = {
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "RTX 4090": 165e12,
}


def peak_flops(device_name: str) -> float | None:
    """FLOP/s of bf16 products of a device, or None where it is not known."""
    return next((peak for name, peak in PEAKS.items() if name in device_name), None)


def flops_per_token(model: SpokenModel) -> int:
    """6 for each weight of the layers and the head: forward 2, backward 4.

    Attention's products with the context are left out, as is the head being run on supervised
    positions only: both are small against the layers.
    """
    layers = sum(parameter.numel() for parameter in model.model.get_decoder().parameters())
    embedding = sum(p.numel() for p in model.model.get_input_embeddings().parameters())
    head = sum(p.numel() for p in model.head.parameters())
    return 6 * (layers - embedding + head)


def mfu(tokens_per_second: float, model: SpokenModel, devices: int) -> float | None:
    """Share of the peak that the model's own products use; None on a CPU or an unknown GPU."""
    if not torch.cuda.is_available():
        return None
    peak = peak_flops(torch.cuda.get_device_name())
    return peak and tokens_per_second * flops_per_token(model) / (peak * devices)
