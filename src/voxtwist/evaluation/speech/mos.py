"""DNSMOS (Reddy et al. 2021, 2022): predicted mean opinion scores of speech, 1 (bad) to 5.

The two ONNX models are inside the package `speechmos`. Its own Python front end needs librosa; this
one computes the same features with torchaudio, to within 0.01 of its scores.
"""

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torchaudio.functional import melscale_fbanks
from tqdm import tqdm

from voxtwist.codec.audio import resample
from voxtwist.errors import VoxtwistError

RATE = 16_000
_SECONDS = 9.01  # what both models hear at once
_WINDOW = int(_SECONDS * RATE)

# From the models' raw outputs to P.835 scores: cubic fits by the authors, highest power first.
_SIGNAL = [-0.08397278, 1.22083953, 0.0052439]
_BACKGROUND = [-0.13166888, 1.60915514, -0.39604546]
_OVERALL = [-0.06766283, 1.11546468, 0.04602535]


@dataclass(frozen=True)
class Scores:
    """Mean opinion scores of one clip.

    Attributes:
        overall, signal, background: P.835: the whole, the speech alone, the freedom from noise.
        p808: P.808: overall quality, by another model.
    """

    overall: float
    signal: float
    background: float
    p808: float


class Dnsmos:
    """Scores clips with the DNSMOS P.835 and P.808 models, one clip a CPU thread.

    Raises:
        VoxtwistError: the package that carries the models is not installed.
    """

    def __init__(self) -> None:
        spec = find_spec("speechmos")
        if spec is None or spec.origin is None:
            raise VoxtwistError(
                "evaluate_speech.mos is dnsmos, but the package speechmos is not installed: run "
                "`make setup`, or set it to none"
            )
        folder = Path(spec.origin).parent / "dnsmos_models"
        self._p835 = _session(folder / "sig_bak_ovr.onnx")
        self._p808 = _session(folder / "model_v8.onnx")

    def score(self, waveforms: Sequence[np.ndarray], rate: int) -> list[Scores]:
        """Mono float32 waveforms (N,) in [-1, 1], none of them empty -> one `Scores` each."""
        clips = [np.clip(resample(waveform, rate, RATE), -1, 1) for waveform in waveforms]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            scores = pool.map(self._one, clips)
            return list(tqdm(scores, "scoring quality", len(clips), unit=" clips", disable=None))

    def _one(self, waveform: np.ndarray) -> Scores:
        while len(waveform) < _WINDOW:  # a short clip is repeated, as the authors do
            waveform = np.concatenate([waveform, waveform])
        # Windows start a second apart; their number is the authors', who leave out a part second.
        n_windows = int(len(waveform) // RATE - _SECONDS) + 1
        windows = [waveform[i * RATE :][:_WINDOW] for i in range(n_windows)]
        raw = np.concatenate([self._p835.run(None, {"input_1": w[None]})[0] for w in windows])
        p808 = [self._p808.run(None, {"input_1": _features(w)[None]})[0] for w in windows]
        signal, background, overall = raw.T
        return Scores(
            overall=float(np.polyval(_OVERALL, overall).mean()),
            signal=float(np.polyval(_SIGNAL, signal).mean()),
            background=float(np.polyval(_BACKGROUND, background).mean()),
            p808=float(np.mean(p808)),
        )


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


# librosa's defaults: Slaney mel scale and norm. The authors' FFT of 321 samples ends at 7975 Hz;
# torchaudio takes its end to be half of the rate that it is told.
_FFT, _FFT_HOP, _MELS = 321, 160, 120
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the lowest filters are narrower than an FFT bin
    _FILTERS = melscale_fbanks(
        _FFT // 2 + 1, 0.0, RATE / 2, _MELS, 2 * 7975, norm="slaney", mel_scale="slaney"
    )


def _features(window: np.ndarray) -> np.ndarray:
    """Log-mel of the P.808 model: float32 (900, 120), the loudest bin at 1, 80 dB less at -1."""
    spectrum = torch.stft(
        torch.from_numpy(window[:-_FFT_HOP]),
        _FFT,
        _FFT_HOP,
        window=torch.hann_window(_FFT),
        pad_mode="constant",
        return_complex=True,
    )
    power = spectrum.abs().square().T @ _FILTERS
    decibel = 10 * torch.log10(power.clamp(min=1e-10) / power.max().clamp(min=1e-10))
    features: np.ndarray = ((decibel.clamp(min=-80.0) + 40) / 40).numpy()
    return features
