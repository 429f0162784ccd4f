"""The embedded voice: PyPI's `hibari-tts`, 24 kHz, the same text always giving the same samples."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

SAMPLE_RATE = 24_000
SPEED = 1.2  # a lively pace: fewer codes to learn for the same words
_MARGIN = int(0.06 * SAMPLE_RATE)  # silence kept on either side of the speech
_SILENCE = 0.01  # of full scale


def speak(texts: Iterable[str], threads: int = 2) -> Iterator[np.ndarray]:
    """Mono float32 waveforms in [-1, 1] at 24 kHz, one a text, without pauses around it."""
    from hibari import Hibari

    voice = Hibari()
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(lambda text: trim(voice(text, speed=SPEED, seed=0)), texts)


def trim(waveform: np.ndarray) -> np.ndarray:
    """Cut the silence at both ends to 60 ms."""
    loud = np.flatnonzero(np.abs(waveform) > _SILENCE)
    if not len(loud):
        return waveform
    return waveform[max(loud[0] - _MARGIN, 0) : loud[-1] + _MARGIN].astype(np.float32)
