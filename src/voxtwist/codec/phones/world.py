"""WORLD: a waveform as pitch, spectral envelope and aperiodicity, and back (Morise et al. 2016).

One frame of features is 65 numbers, 100 times a second:
`[log F0, voiced, 60 of the coded envelope, 3 of the coded aperiodicity]`.
"""

import numpy as np
import pyworld

SAMPLE_RATE = 24_000
WORLD_RATE_HZ = 100
ENVELOPE, APERIODICITY = 60, 3  # 3 bands are what WORLD has at 24 kHz
FEATURES = 2 + ENVELOPE + APERIODICITY
_FFT = pyworld.get_cheaptrick_fft_size(SAMPLE_RATE)
# Synthesis takes twice as many frames, interpolated: smoother movements.
_FINER = 2


def analyse(waveform: np.ndarray, f0: np.ndarray) -> np.ndarray:
    """Mono float32 (N,) at 24 kHz -> float32 (T, 65), frame i at i / 100 s.

    Args:
        f0: float (T,), roughly the Hz at the frames, 0 where there is no voice. It is refined on
            the waveform: envelopes of a wrong pitch are blurred.
    """
    wave = waveform.astype(np.float64)
    times = np.arange(len(f0)) / WORLD_RATE_HZ
    f0 = pyworld.stonemask(wave, np.ascontiguousarray(f0, np.float64), times, SAMPLE_RATE)
    envelope = pyworld.cheaptrick(wave, f0, times, SAMPLE_RATE, fft_size=_FFT)
    aperiodicity = pyworld.d4c(wave, f0, times, SAMPLE_RATE, fft_size=_FFT)
    voiced = f0 > 0
    pitch = np.zeros(len(f0))
    if voiced.any():  # a pitch everywhere: straight lines through unvoiced stretches
        pitch = np.interp(times, times[voiced], np.log(f0[voiced]))
    return np.column_stack(
        [
            pitch,
            voiced,
            pyworld.code_spectral_envelope(envelope, SAMPLE_RATE, ENVELOPE),
            pyworld.code_aperiodicity(aperiodicity, SAMPLE_RATE),
        ]
    ).astype(np.float32)


def synthesise(features: np.ndarray) -> np.ndarray:
    """Features (T, 65) -> mono float32 (T * 240,) at 24 kHz."""
    frames = len(features)
    times = np.arange(frames * _FINER) / _FINER
    finer = np.column_stack(
        [np.interp(times, np.arange(frames), column) for column in features.astype(np.float64).T]
    )
    pitch, voiced, envelope, aperiodicity = np.split(finer, [1, 2, 2 + ENVELOPE], axis=1)
    wave = pyworld.synthesize(
        np.where(voiced[:, 0] > 0.5, np.exp(pitch[:, 0]), 0.0),
        pyworld.decode_spectral_envelope(np.ascontiguousarray(envelope), SAMPLE_RATE, _FFT),
        pyworld.decode_aperiodicity(np.ascontiguousarray(aperiodicity), SAMPLE_RATE, _FFT),
        SAMPLE_RATE,
        1000 / (WORLD_RATE_HZ * _FINER),
    )
    return wave[: frames * SAMPLE_RATE // WORLD_RATE_HZ].clip(-1, 1).astype(np.float32)
