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
RATES = (1_000, 768_000)  # Hz of recordings
_BLOCK = 1 << 20  # samples read at once
_STREAMED = 0x7FFF0000  # a WAV header's size from here on stands for "unknown"
_LONGEST_NAME = 200  # characters shown of a path
OPUS_RATE = 24_000  # Hz; Opus knows 8, 12, 16, 24 and 48 kHz
# torchaudio's filter bank has (up · down) taps: between odd rates (47,999 to 16,000 Hz) that is
# gigabytes. The nearest ratio of smaller numbers is at most 0.03 % off: half a cent of pitch.
_LARGEST_DOWN = 4096


def read_audio(path: Path) -> tuple[np.ndarray, int]:
    """Mono float32 waveform (N,) in [-1, 1], channels averaged, and its rate in Hz.

    Raises:
        VoxtwistError: no such file, not audio, no samples in it, fewer than a WAV or FLAC file
            says that it has, or a rate outside `RATES`.
    """
    path = Path(path)
    try:
        exists = path.is_file()
    except (OSError, ValueError):  # a name that is too long, or holds a zero
        exists = False
    if not exists:
        raise VoxtwistError(f"{_short(path)} does not exist")
    try:
        with soundfile.SoundFile(path) as file:
            rate, said = int(file.samplerate), _samples_said(path, file)
            if not RATES[0] <= rate <= RATES[1]:
                raise VoxtwistError(
                    f"{path} says that it has {rate} samples a second; {RATES[0]} to {RATES[1]} "
                    "can be read"
                )
            # In blocks: a header may claim more samples than there is memory.
            blocks = [file.read(_BLOCK, dtype="float32", always_2d=True)]
            while len(blocks[-1]) == _BLOCK:
                blocks.append(file.read(_BLOCK, dtype="float32", always_2d=True))
    except (soundfile.SoundFileError, ValueError, TypeError) as error:
        raise VoxtwistError(
            f"{path} cannot be read as audio ({error}): give WAV, FLAC, OGG or MP3"
        ) from None
    waveform = np.concatenate([block.mean(axis=1) for block in blocks])
    if not len(waveform):
        raise VoxtwistError(f"{path} holds no samples")
    if said is not None and len(waveform) < said:
        raise VoxtwistError(
            f"{path} says that it has {said / rate:.2f} s and has {len(waveform) / rate:.2f} s: it "
            "is cut, fetch it again"
        )
    return waveform, rate


def _samples_said(path: Path, file: soundfile.SoundFile) -> int | None:
    """How many samples a WAV or FLAC header claims; None where nothing sure is said."""
    if file.format == "FLAC":
        return int(file.frames) or None
    if file.format not in ("WAV", "WAVEX"):
        return None
    with path.open("rb") as data:
        said = int.from_bytes(data.read(8)[4:], "little") + 8
    size = path.stat().st_size
    if said >= _STREAMED or said <= size:  # programs that write into pipes do not know it
        return None
    return int(file.frames) + max(1, int(file.frames * (said - size) / size))


def _short(path: Path) -> str:
    name = str(path)
    return name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"


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
