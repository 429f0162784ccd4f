"""The net that speaks: phones at 50 Hz in, WORLD features at 100 Hz out."""

from torch import Tensor, nn
from torch.nn.functional import gelu

from voxtwist.codec.phones import world

_COARSE = (1, 2, 4, 8, 1, 2, 4, 8)  # dilations of the layers at 50 Hz ...
_FINE = (1, 2, 1)  # ... and at 100 Hz


class PhoneDecoder(nn.Module):
    """Phones int64 (B, T) -> standardised WORLD features (B, 2 T, 65).

    Convolutions see some half a second of phones on either side: enough for how sounds run into
    each other, and for the melody of a short sentence.
    """

    def __init__(self, phones: int, width: int = 256, fine_width: int = 192) -> None:
        super().__init__()
        self.embedding = nn.Embedding(phones, width)
        self.coarse = nn.ModuleList(_conv(width, spread) for spread in _COARSE)
        self.upsample = nn.ConvTranspose1d(width, fine_width, 4, stride=2, padding=1)
        self.fine = nn.ModuleList(_conv(fine_width, spread) for spread in _FINE)
        self.output = nn.Conv1d(fine_width, world.FEATURES, 1)

    def forward(self, phones: Tensor) -> Tensor:
        hidden = self.embedding(phones).transpose(1, 2)
        for layer in self.coarse:
            hidden = hidden + layer(gelu(hidden))
        hidden = self.upsample(gelu(hidden))
        for layer in self.fine:
            hidden = hidden + layer(gelu(hidden))
        return self.output(gelu(hidden)).transpose(1, 2)


def _conv(width: int, spread: int) -> nn.Conv1d:
    return nn.Conv1d(width, width, 3, padding=spread, dilation=spread)
