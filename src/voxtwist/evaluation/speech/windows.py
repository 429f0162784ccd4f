"""Long recordings in windows that a recogniser hears whole: Whisper hears only the first 30 s."""

import numpy as np

_SEARCHED = 5.0  # seconds before the end of a window in which it may be cut
_PAUSE = 0.2  # seconds


def cut_at_pauses(waveform: np.ndarray, rate: int, longest: float) -> list[np.ndarray]:
    """Windows of at most `longest` seconds, each but the last cut where its last 5 s are quietest.

    Args:
        waveform: mono float32 (N,) at `rate` Hz.

    Returns:
        At least one; put together they are the waveform.
    """
    room, pause = int(longest * rate), int(_PAUSE * rate)
    windows = []
    while len(waveform) > room:
        first = room - int(_SEARCHED * rate)
        energy = np.cumsum(waveform[first:room].astype(np.float64) ** 2)
        quietest = int(np.argmin(energy[pause:] - energy[:-pause]))
        cut = first + quietest + pause // 2
        windows.append(waveform[:cut])
        waveform = waveform[cut:]
    return [*windows, waveform]
