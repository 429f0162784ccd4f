"""Floating-point operations of training, and the share of a GPU's peak that they reach.

A matrix product with w weights costs 2 w operations per token forward, 2 w for the gradient of its
input and 2 w for that of its weights, if they learn (Kaplan et al. 2020).
"""

import torch

from voxtwist.device import data_sheet
from voxtwist.model.size import ModelSize
from voxtwist.params import Train


def training_flops(
    size: ModelSize,
    train: Train,
    tokens: float,
    squares: float,
    text: float,
    speech: float,
    again: bool = False,
) -> float:
    """Forward and backward over packed samples.

    Args:
        tokens, squares: sums of the samples' lengths and of their squares.
        text, speech: labels of either kind.
        again: with what `gradient_checkpointing: full` computes twice.
    """
    forwards = 1 + (again and train.gradient_checkpointing == "full")
    layers = 2 * ((forwards + 1) * size.layers + size.layers_learning)
    # Queries with keys, and weights with values: on average half of the sample lies before.
    attention = (forwards + 2) * 2 * 2 * size.query * size.depth * squares / 2
    text_rows = 2 * (2 + size.text_rows_learn) * size.text_rows
    new_rows = 2 * 3 * size.new_rows
    over_text_rows = text + (1 - train.restrict_speech) * speech
    return tokens * layers + attention + over_text_rows * text_rows + (text + speech) * new_rows


def mfu(flops_per_second: float, devices: int) -> float | None:
    """Model FLOPs utilisation (Chowdhery et al. 2022, PaLM, appendix B): the share of the peak that
    the model's own operations use; None on a CPU or an unknown GPU.

    The peak is that of bf16 products, also for an fp32 training.
    """
    if not torch.cuda.is_available():
        return None
    sheet = data_sheet(torch.cuda.get_device_name())
    return flops_per_second / (sheet.flops * devices) if sheet else None
