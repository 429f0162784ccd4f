"""Audio files: any rate and channels in, mono float32; WAV, FLAC or a data URL out."""

import base64
import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import soundfile
import torch
import torchaudio

from voxtwist.errors import VoxtwistError

FORMATS = (".wav", ".flac")
OPUS_RATE = 24_000  # Hz; Opus knows 8, 12, 16, 24 and 48 kHz
# torchaudio's filter bank has (up · down) taps: between odd rates (47,999 to 16,000 Hz) that is
# gigabytes. The nearest ratio of smaller numbers is at most 0.03 % off: half a cent of pitch.
_LARGEST_DOWN = 4096


def read_audio(path: Path) -> tuple[np.ndarray, int]:
    """Mono float32 waveform (N,) in [-1, 1], channels averaged, and its rate in Hz.

    Raises:
        VoxtwistError: no such file, not audio, or no samples in it.
    """
    path = Path(path)
    if not path.is_file():
        raise VoxtwistError(f"{path} does not exist")
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, ValueError, TypeError) as error:
        raise VoxtwistError(
            f"{path} cannot be read as audio ({error}): give WAV, FLAC, OGG or MP3"
        ) from None
    if not len(samples):
        raise VoxtwistError(f"{path} holds no samples")
    return samples.mean(axis=1), rate


def resample(waveform: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """Band-limited resampling of float32 (N,): ceil(N · new_rate / rate) samples."""
    if rate == new_rate:
        return waveform.astype(np.float32, copy=False)
    ratio = Fraction(new_rate, rate).limit_denominator(_LARGEST_DOWN)
    wave = torch.from_numpy(np.ascontiguousarray(waveform, np.float32))
    return torchaudio.functional.resample(wave, ratio.denominator, ratio.numerator).numpy()


def write_audio(path: Path, waveform: np.ndarray, rate: int) -> None:
    """Write mono (N,) in [-1, 1] as 16-bit WAV or FLAC, by the name's ending.

    Raises:
        VoxtwistError: another ending, or a place that cannot be written to.
    """
    path = Path(path)
    check_output(path)
    try:
        soundfile.write(path, waveform, rate, subtype="PCM_16")
    except (soundfile.SoundFileError, OSError) as error:
        raise VoxtwistError(f"{path} cannot be written: {error}") from None


def check_output(path: Path) -> None:
    """Refuse a file name that `write_audio` would, before any work is done for it."""
    if path.suffix.lower() not in FORMATS:
        raise VoxtwistError(f"{path}: audio is written as .wav or .flac")
    if not path.parent.is_dir():
        raise VoxtwistError(f"{path}: the folder {path.parent} does not exist")


def embed_audio(path: Path) -> str:
    """An audio file as a data URL of Opus in Ogg: about 6 kB a second."""
    return embed_waveform(*read_audio(path))


def embed_waveform(waveform: np.ndarray, rate: int) -> str:
    """As `embed_audio`, of a mono float32 waveform (N,) at `rate` Hz."""
    waveform = np.clip(resample(waveform, rate, OPUS_RATE), -1, 1)
    buffer = io.BytesIO()
    # libsndfile's Opus encoder overflows its stack when given a long array at once.
    with soundfile.SoundFile(buffer, "w", OPUS_RATE, 1, format="OGG", subtype="OPUS") as file:
        for start in range(0, len(waveform), OPUS_RATE):
            file.write(waveform[start : start + OPUS_RATE])
    return "data:audio/ogg;base64," + base64.b64encode(buffer.getvalue()).decode()
