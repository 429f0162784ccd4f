"""The spectrograms of the k-means codec: 24 kHz, 50 codes per second, two fine frames per code."""

import torch
import torchaudio
from torch import Tensor

SAMPLE_RATE = 24_000
FRAME_RATE_HZ = 50
HOP = SAMPLE_RATE // FRAME_RATE_HZ
FINE = 2  # frames of the decoder's spectrogram for each code: Griffin-Lim needs the overlap
WINDOW = 1024
BINS = WINDOW // 2 + 1
MELS = 80
CEPSTRA = 20
POWER = 0.3  # magnitudes are compared on about the scale of loudness
_FLOOR = 1e-4
_GRIFFIN_LIM_STEPS = 16

_mel = torchaudio.transforms.MelSpectrogram(
    SAMPLE_RATE, WINDOW, WINDOW, HOP, n_mels=MELS, power=1.0, norm="slaney", mel_scale="slaney"
)
_dct = torchaudio.functional.create_dct(CEPSTRA, MELS, norm="ortho")


def log_mel(waveform: Tensor) -> Tensor:
    """Waveform (N,) at 24 kHz -> natural-log mel magnitudes (T, 80), T = max(N // 480, 1)."""
    return _mel(waveform)[:, : frames(waveform)].clamp(min=_FLOOR).log().T


def cepstra(mels: Tensor) -> Tensor:
    """Log-mel (..., 80) -> the 20 lowest cepstra (..., 20).

    They hold the vocal tract's shape and leave the pitch out, so that the same sound gets the same
    code at any pitch.
    """
    return mels @ _dct


def fine_magnitudes(waveform: Tensor) -> Tensor:
    """Waveform (N,) -> compressed magnitudes (T, 2 * 513) at 100 frames a second, two a code."""
    spectrum = torch.stft(
        waveform, WINDOW, HOP // FINE, window=torch.hann_window(WINDOW), return_complex=True
    )
    n = frames(waveform)
    return spectrum.abs()[:, : n * FINE].pow(POWER).T.reshape(n, FINE * BINS)


def invert(fine: Tensor) -> Tensor:
    """Compressed magnitudes (T, 2 * 513) -> waveform (T * 480,) by Griffin-Lim (Perraudin 2013).

    The phases start at zero: the same magnitudes always give the same samples.
    """
    samples = len(fine) * HOP
    if len(fine) == 1:  # too short for the half window that is mirrored at either end
        fine = fine.repeat(2, 1)
    magnitudes = fine.clamp(min=0).reshape(-1, BINS).T.pow(1 / POWER)
    wave = torchaudio.functional.griffinlim(
        magnitudes, torch.hann_window(WINDOW), WINDOW, HOP // FINE, WINDOW,
        power=1.0, n_iter=_GRIFFIN_LIM_STEPS, momentum=0.99, length=None, rand_init=False,
    )  # fmt: skip
    # Frames are centred: half a one is left.
    return torch.nn.functional.pad(wave, (0, HOP // FINE))[:samples]


def frames(waveform: Tensor) -> int:
    """Codes of a waveform (N,) at 24 kHz."""
    return max(waveform.shape[-1] // HOP, 1)
