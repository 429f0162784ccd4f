"""The velocity estimator of the flow: Matcha-TTS' one-dimensional U-Net with transformer blocks.

Architecture: Mehta et al. 2024, "Matcha-TTS", figure 1, at CosyVoice's sizes.
"""

import math
from collections.abc import Iterable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from voxtwist.codec.cosyvoice.config import EstimatorConfig
from voxtwist.codec.cosyvoice.masking import MaskedGroupNorm, blank


class Estimator(nn.Module):
    """Velocity (B, out_channels, T) at time t of x (B, in_channels, T)."""

    def __init__(self, config: EstimatorConfig) -> None:
        super().__init__()
        widths = config.channels
        time_width = 4 * widths[0]
        self.time_width = config.in_channels
        self.time_mlp = TimeMLP(config.in_channels, time_width)

        def stage(in_width: int, width: int, *resample: nn.Module) -> Stage:
            return Stage(in_width, width, time_width, config, *resample)

        last = len(widths) - 1
        self.down_blocks = nn.ModuleList(
            stage(
                widths[i - 1] if i else config.in_channels,
                width,
                Downsample(width) if i < last else nn.Conv1d(width, width, 3, padding=1),
            )
            for i, width in enumerate(widths)
        )
        self.mid_blocks = nn.ModuleList(
            stage(widths[-1], widths[-1]) for _ in range(config.num_mid_blocks)
        )
        rising = [*reversed(widths), widths[0]]
        self.up_blocks = nn.ModuleList(
            stage(
                2 * rising[i],
                width,
                Upsample(width) if i < last else nn.Conv1d(width, width, 3, padding=1),
            )
            for i, width in enumerate(rising[1:])
        )
        self.final_block = ConvBlock(widths[0], widths[0])
        self.final_proj = nn.Conv1d(widths[0], config.out_channels, 1)

    def forward(self, x: Tensor, time: Tensor, mask: Tensor | None = None) -> Tensor:
        """`time` (1,) in [0, 1]; `mask` as in `masking`, of x's frames."""
        time = self.time_mlp(time_embedding(time, self.time_width))
        skips: list[tuple[Tensor, Tensor | None]] = []
        for stage in cast(Iterable[Stage], self.down_blocks):
            x = stage(x, time, mask)
            skips.append((x, mask))
            x = stage.resample(x, mask)
            if mask is not None and mask.shape[-1] != x.shape[-1]:
                mask = mask[..., ::2]
        for stage in cast(Iterable[Stage], self.mid_blocks):
            x = stage(x, time, mask)
        for stage in cast(Iterable[Stage], self.up_blocks):
            skip, mask = skips.pop()
            # Upsampling an odd length gives one frame too many.
            x = torch.cat([x[..., : skip.shape[-1]], skip], dim=1)
            x = stage(x, time, mask)
            x = stage.resample(x, mask)
        x = self.final_block(x, mask)
        return blank(self.final_proj(x), mask)


class Stage(nn.ModuleList):
    """[residual block, transformer blocks, resampling if any], at one frame rate."""

    def __init__(
        self,
        in_width: int,
        width: int,
        time_width: int,
        config: EstimatorConfig,
        *resample: nn.Module,
    ) -> None:
        transformers = Transformers(
            TransformerBlock(width, config.num_heads, config.attention_head_dim)
            for _ in range(config.n_blocks)
        )
        super().__init__([ResidualBlock(in_width, width, time_width), transformers, *resample])

    def forward(self, x: Tensor, time: Tensor, mask: Tensor | None) -> Tensor:
        return self[1](self[0](x, time, mask), mask)

    def resample(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """On to the next stage's frame rate."""
        return self[2](blank(x, mask))


class Transformers(nn.ModuleList):
    """x (B, width, T) -> (B, width, T)."""

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = x.transpose(1, 2)
        for block in self:
            x = block(x, mask)
        return x.transpose(1, 2)


class ConvBlock(nn.Module):
    def __init__(self, in_width: int, width: int) -> None:
        super().__init__()
        self.block = nn.ModuleList(
            [nn.Conv1d(in_width, width, 3, padding=1), MaskedGroupNorm(8, width)]
        )

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        conv, norm = self.block
        return F.mish(norm(conv(blank(x, mask)), mask))


class ResidualBlock(nn.Module):
    def __init__(self, in_width: int, width: int, time_width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Mish(), nn.Linear(time_width, width))
        self.block1 = ConvBlock(in_width, width)
        self.block2 = ConvBlock(width, width)
        self.res_conv = nn.Conv1d(in_width, width, 1)

    def forward(self, x: Tensor, time: Tensor, mask: Tensor | None) -> Tensor:
        h = self.block1(x, mask) + self.mlp(time)[..., None]
        return self.block2(h, mask) + self.res_conv(blank(x, mask))


class TransformerBlock(nn.Module):
    """Pre-norm self-attention and GELU feed-forward over x (B, T, width)."""

    def __init__(self, width: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn1 = Attention(width, heads, head_width)
        self.norm3 = nn.LayerNorm(width)
        self.ff = FeedForward(width)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = x + self.attn1(self.norm1(x), mask)
        return x + self.ff(self.norm3(x))


class Attention(nn.Module):
    def __init__(self, width: int, heads: int, head_width: int) -> None:
        super().__init__()
        inner = heads * head_width
        self.heads = heads
        self.to_q = nn.Linear(width, inner, bias=False)
        self.to_k = nn.Linear(width, inner, bias=False)
        self.to_v = nn.Linear(width, inner, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(inner, width)])

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        q, k, v = (
            linear(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for linear in (self.to_q, self.to_k, self.to_v)
        )
        keys = None if mask is None else mask.bool()[:, None]
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=keys)
        return self.to_out[0](out.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            LinearGELU(width, 4 * width), nn.Identity(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class LinearGELU(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, hidden)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.proj(x))


class Downsample(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, width, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Upsample(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose1d(width, width, 4, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class TimeMLP(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(width, hidden)
        self.linear_2 = nn.Linear(hidden, hidden)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear_2(F.silu(self.linear_1(x)))


def time_embedding(time: Tensor, width: int) -> Tensor:
    """Sinusoids (1, width) of 1000 · time: all sines, then all cosines."""
    half = width // 2
    frequency = torch.exp(
        torch.arange(half, device=time.device) * (-math.log(10000.0) / (half - 1))
    )
    angle = 1000.0 * time[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=-1)
