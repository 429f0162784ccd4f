"""Whose voice it is: cosine similarity of CAM++ speaker embeddings (Wang et al. 2023)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from voxtwist.codec.audio import resample
from voxtwist.codec.cosyvoice.prompt import MIN_SECONDS, RATE, FrontEnd
from voxtwist.errors import VoxtwistError


class VoiceEmbedder:
    """Embeds voices with `campplus.onnx`, which is part of every CosyVoice model folder.

    Raises:
        VoxtwistError: it is not in the folder.
    """

    def __init__(self, folder: Path) -> None:
        if not (folder / "campplus.onnx").is_file():
            raise VoxtwistError(
                f"evaluate_speech.voice is {folder}, but {folder / 'campplus.onnx'} is missing: "
                "name the folder of a CosyVoice model, or set it to null"
            )
        self._front_end = FrontEnd(folder)

    def embed(self, waveforms: Sequence[np.ndarray], rate: int) -> list[np.ndarray | None]:
        """Mono float32 waveforms (N,) -> unit vectors float32 (192,); None below 0.1 s."""
        return [
            self._one(waveform, rate) if len(waveform) >= MIN_SECONDS * rate else None
            for waveform in tqdm(waveforms, "comparing voices", unit=" clips", disable=None)
        ]

    def _one(self, waveform: np.ndarray, rate: int) -> np.ndarray:
        vector = self._front_end.speaker_embedding(resample(waveform, rate, RATE))[0].numpy()
        unit: np.ndarray = vector / np.linalg.norm(vector)
        return unit
