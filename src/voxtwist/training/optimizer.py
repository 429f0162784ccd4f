"""AdamW with a separate learning rate for new rows, and the warm-up and cosine schedule."""

import math

import torch
from torch import nn

from voxtwist.params import Train


def build_optimizer(model: nn.Module, settings: Train) -> torch.optim.AdamW:
    """One group each for new rows, weight matrices, and the rest; frozen parameters in none.

    Weight decay acts on matrices only: neither on norms nor on rows of the token table.
    """
    groups: dict[str, list[nn.Parameter]] = {"new_rows": [], "matrices": [], "rest": []}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if name.endswith(".new_rows"):
            groups["new_rows"].append(parameter)
        elif parameter.ndim >= 2 and not name.endswith(".text_rows"):
            groups["matrices"].append(parameter)
        else:
            groups["rest"].append(parameter)
    rates = {"new_rows": settings.new_rows_learning_rate}
    return torch.optim.AdamW(
        [
            {
                "params": members,
                "lr": rates.get(name, settings.learning_rate),
                "weight_decay": settings.weight_decay if name == "matrices" else 0.0,
            }
            for name, members in groups.items()
            if members
        ],
        betas=(0.9, 0.95),
        fused=True,
    )


def build_schedule(
    optimizer: torch.optim.Optimizer, steps: int, settings: Train
) -> torch.optim.lr_scheduler.LambdaLR:
    """Linear warm-up, then a cosine down to `min_lr_ratio`.

    The warm-up takes `warmup_steps`, or where that is None `warmup_ratio` of the steps.
    """
    warmup = settings.warmup_steps
    if warmup is None:
        warmup = max(1, round(settings.warmup_ratio * steps))

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        progress = min(1.0, (step - warmup) / max(1, steps - warmup))
        cosine = 0.5 * (1 + math.cos(math.pi * progress))
        return settings.min_lr_ratio + (1 - settings.min_lr_ratio) * cosine

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
