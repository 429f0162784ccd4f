"""The token encoder: self-attention with relative positions (ESPnet's Transformer-XL style)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from voxtwist.codec.cosyvoice.config import EncoderConfig


class Encoder(nn.Module):
    """Embedded tokens (B, T, input_size) -> (B, T, output_size)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        width = config.output_size
        self.scale = math.sqrt(width)
        self.embed = nn.ModuleDict(
            {"out": nn.Sequential(nn.Linear(config.input_size, width), nn.LayerNorm(width))}
        )
        self.encoders = nn.ModuleList(EncoderBlock(config) for _ in range(config.num_blocks))
        self.after_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """`mask` (B, T) is true where there is a token; None says that all rows are full."""
        x = self.embed["out"](x) * self.scale
        positions = relative_positions(x.shape[1], x.shape[2]).to(x)
        for block in self.encoders:
            x = block(x, positions, mask)
        return self.after_norm(x)


class EncoderBlock(nn.Module):
    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        width = config.output_size
        self.self_attn = RelativeAttention(width, config.attention_heads)
        self.feed_forward = FeedForward(width, config.linear_units)
        self.norm_mha = nn.LayerNorm(width, eps=1e-12)
        self.norm_ff = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x: Tensor, positions: Tensor, mask: Tensor | None) -> Tensor:
        x = x + self.self_attn(self.norm_mha(x), positions, mask)
        return x + self.feed_forward(self.norm_ff(x))


class FeedForward(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.w_1 = nn.Linear(width, hidden)
        self.w_2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.w_2(F.silu(self.w_1(x)))


class RelativeAttention(nn.Module):
    """Scores ((q + u)·k + (q + v)·p) / sqrt(d), p the embedded distance between query and key.

    Dai et al. 2019, "Transformer-XL", section 3.3.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.linear_q = nn.Linear(width, width)
        self.linear_k = nn.Linear(width, width)
        self.linear_v = nn.Linear(width, width)
        self.linear_out = nn.Linear(width, width)
        self.linear_pos = nn.Linear(width, width, bias=False)
        self.pos_bias_u = nn.Parameter(torch.zeros(heads, width // heads))
        self.pos_bias_v = nn.Parameter(torch.zeros(heads, width // heads))

    def forward(self, x: Tensor, positions: Tensor, mask: Tensor | None) -> Tensor:
        q, k, v = (
            self._split(linear(x)) for linear in (self.linear_q, self.linear_k, self.linear_v)
        )
        p = self._split(self.linear_pos(positions))
        by_distance = (q + self.pos_bias_v[:, None]) @ p.transpose(-2, -1)
        bias = relative_shift(by_distance) / math.sqrt(q.shape[-1])
        if mask is not None:
            bias = bias.masked_fill(~mask[:, None, None, :], -torch.inf)
        out = F.scaled_dot_product_attention(q + self.pos_bias_u[:, None], k, v, attn_mask=bias)
        return self.linear_out(out.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        """(B, T, width) -> (B, heads, T, width / heads)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def relative_positions(length: int, width: int) -> Tensor:
    """Sinusoids (1, 2·length - 1, width) of the distances length-1 ... -(length-1).

    Sine and cosine interleave; wavelengths grow geometrically to 10000 · 2π.
    """
    distance = torch.arange(length - 1, -length, -1.0)
    frequency = torch.exp(torch.arange(0, width, 2.0) * (-math.log(10000.0) / width))
    angle = distance[:, None] * frequency
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)[None]


def relative_shift(x: Tensor) -> Tensor:
    """(B, H, T, 2T-1) indexed by distance -> (B, H, T, T) indexed by key.

    Row i must begin at the distance i, which is column T-1-i. Padding one column and re-reading
    the memory with rows one shorter moves each row one to the left of the row above.
    """
    batch, heads, length, distances = x.shape
    x = F.pad(x, (1, 0)).view(batch, heads, distances + 1, length)[:, :, 1:]
    return x.reshape(batch, heads, length, distances)[..., :length]
