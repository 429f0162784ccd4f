"""What every speech codec offers: a waveform becomes codes, and codes become a waveform."""

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from tqdm import tqdm


@runtime_checkable
class SpeechCodec(Protocol):
    """Waveform <-> discrete codes.

    Attributes:
        name: what is written into files of codes ("phones", "cosyvoice").
        sample_rate: Hz of the waveforms that `decode` returns.
        frame_rate_hz: codes per second, a whole number.
        vocab_size: codes are integers in ``[0, vocab_size)``.
    """

    name: str
    sample_rate: int
    frame_rate_hz: int
    vocab_size: int

    def encode(self, waveform: np.ndarray, rate: int) -> np.ndarray:
        """Mono float32 waveform (N,) in [-1, 1] at `rate` Hz -> int64 codes (T,)."""
        ...

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Codes (T,) -> mono float32 waveform (N,) at `sample_rate` Hz.

        Raises:
            VoxtwistError: no codes, or a code outside ``[0, vocab_size)``.
        """
        ...

    def decode_many(self, utterances: Sequence[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
        """As `decode` for each: (its index, its waveform), in the order that is fastest."""
        ...


def decode_all(codec: SpeechCodec, utterances: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Waveforms at the codec's rate; an utterance without codes has an empty one."""
    waveforms = [np.zeros(0, np.float32)] * len(utterances)
    audible = [i for i, codes in enumerate(utterances) if len(codes)]
    decoded = codec.decode_many([utterances[i] for i in audible])
    for i, waveform in tqdm(decoded, "decoding", len(audible), unit=" utterances", disable=None):
        waveforms[audible[i]] = waveform
    return waveforms
