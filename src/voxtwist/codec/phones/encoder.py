"""Moonshine's encoder as an ear: what a recogniser keeps of a waveform, 50 times a second."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from voxtwist.codec.audio import resample
from voxtwist.errors import VoxtwistError

PHONE_RATE_HZ = 50
FEATURES = 288  # of Moonshine tiny
_RATE = 16_000  # Hz, what Moonshine hears
# Its frames: one every 384 samples; the first one is centred at sample 447.
_HOP, _FIRST = 384, 447
_SILENCE = _RATE // 4  # on either side: speech that starts at the first sample is heard worse


class MoonshineEncoder:
    """The encoder of Moonshine tiny (Jeffries et al. 2024, arXiv:2410.15608), read by ONNX Runtime.

    Raises:
        VoxtwistError: moonshine-voice 0.1.0, which carries the weights, is not installed.
    """

    @cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        spec = find_spec("moonshine_voice")
        if spec is None or spec.origin is None:
            raise VoxtwistError("the package moonshine-voice is not installed: run `make setup`")
        file = Path(spec.origin).parent / "assets" / "tiny-en" / "encoder_model.ort"
        if not file.is_file():
            raise VoxtwistError("moonshine-voice carries no model: install exactly version 0.1.0")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # utterances run side by side instead
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def __call__(self, waveform: np.ndarray, rate: int) -> np.ndarray:
        """Mono float32 (N,) at `rate` Hz -> float32 (T, 288): round(50 N / rate), at least 1."""
        frames = max(1, round(len(waveform) * PHONE_RATE_HZ / rate))
        wave = np.pad(resample(waveform, rate, _RATE), _SILENCE)[None]
        mask = np.ones(wave.shape, np.int64)
        heard = self._session.run(None, {"input_values": wave, "attention_mask": mask})[0][0]
        # Between the two nearest of its frames, weighted by how near they are.
        centres = (np.arange(frames) + 0.5) / PHONE_RATE_HZ * _RATE + _SILENCE
        place = np.clip((centres - _FIRST) / _HOP, 0, len(heard) - 1)
        left = place.astype(int).clip(max=max(0, len(heard) - 2))
        share = (place - left)[:, None].astype(np.float32)
        right = np.minimum(left + 1, len(heard) - 1)
        return heard[left] * (1 - share) + heard[right] * share

    def many(
        self, waveforms: Sequence[np.ndarray], rate: int, threads: int = 2
    ) -> list[np.ndarray]:
        """As a call for each, some of them at a time."""
        _ = self._session  # made once, before threads ask for it
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(lambda wave: self(wave, rate), waveforms))


class PhoneHead(nn.Module):
    """Moonshine's features (B, T, 288) -> logits of phones (B, T, phones)."""

    def __init__(self, phones: int, width: int = 192, kernel: int = 5) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(FEATURES)
        self.input = nn.Conv1d(FEATURES, width, kernel, padding=kernel // 2)
        self.hidden = nn.Conv1d(width, width, kernel, padding=kernel // 2)
        self.output = nn.Conv1d(width, phones, 1)

    def forward(self, features: Tensor) -> Tensor:
        hidden = gelu(self.input(self.norm(features).transpose(1, 2)))
        hidden = hidden + gelu(self.hidden(hidden))
        return self.output(hidden).transpose(1, 2)

    @torch.inference_mode()
    def hear(self, features: np.ndarray) -> np.ndarray:
        """(T, 288) -> int64 (T,): the likeliest phone of each frame."""
        return self(torch.from_numpy(features).unsqueeze(0))[0].argmax(-1).numpy()
