"""Sequences of different lengths in one batch, with the result of each one alone.

A mask is a float tensor (B, 1, T): one on a sequence's frames, zero on its padding. None means that
all sequences fill the batch, and costs nothing.
"""

import torch
from torch import Tensor, nn


def frame_mask(lengths: list[int], device: torch.device) -> Tensor | None:
    """The mask of sequences of these lengths, padded to the longest."""
    longest = max(lengths)
    if min(lengths) == longest:
        return None
    ends = torch.tensor(lengths, device=device)
    return (torch.arange(longest, device=device) < ends[:, None]).float()[:, None]


def blank(x: Tensor, mask: Tensor | None) -> Tensor:
    """Zero the padding: a convolution then sees what it would past the end of the sequence."""
    return x if mask is None else x * mask


class MaskedGroupNorm(nn.GroupNorm):
    """GroupNorm of x (B, C, T) whose mean and variance leave the padding out."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is None:
            return super().forward(x)
        groups = x.unflatten(1, (self.num_groups, -1))
        here = mask[:, None]
        count = here.sum(dim=(2, 3), keepdim=True) * groups.shape[2]
        mean = (groups * here).sum(dim=(2, 3), keepdim=True) / count
        centred = groups - mean
        variance = (centred.square() * here).sum(dim=(2, 3), keepdim=True) / count
        normal = (centred * torch.rsqrt(variance + self.eps)).flatten(1, 2)
        return normal * self.weight[:, None] + self.bias[:, None]
