"""Speech recognisers behind one interface: Moonshine on the CPU, any Whisper of transformers."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, Protocol

import numpy as np
import torch
from tqdm import tqdm

from voxtwist.codec.audio import resample
from voxtwist.device import best_device
from voxtwist.errors import VoxtwistError
from voxtwist.evaluation.speech.windows import cut_at_pauses

RATE = 16_000  # Hz: what both families of models hear
_SILENCE = 0.5  # seconds
_WHISPER_HEARS = 30.0  # seconds


class Transcriber(Protocol):
    """Waveforms to text."""

    def transcribe(self, waveforms: Sequence[np.ndarray], rate: int) -> list[str]:
        """Mono float32 waveforms (N,) in [-1, 1] at `rate` Hz -> one transcript each.

        An empty waveform gives an empty transcript.
        """
        ...


def load_transcriber(name: str) -> Transcriber:
    """ "moonshine", or a Whisper model by its hub name or folder.

    Raises:
        VoxtwistError: the package or the model is missing.
    """
    return MoonshineTranscriber() if name == "moonshine" else WhisperTranscriber(name)


class MoonshineTranscriber:
    """Moonshine tiny (27M parameters, English), whose weights are inside `moonshine-voice` 0.1.0.

    Every waveform is one utterance: voice activity detection is off
    (threshold 0), so that no quiet word is cut away and no answer is split. Half a second of
    silence goes on either side: speech cut to its first and last sound is heard far worse.

    Args:
        workers: utterances heard at a time, each by a model of its own, since one hears one at a
            time; None: as many as there are CPUs, at most 4.
    """

    def __init__(self, workers: int | None = None) -> None:
        try:
            from moonshine_voice.moonshine_api import ModelArch
            from moonshine_voice.transcriber import Transcriber as Moonshine
            from moonshine_voice.utils import get_model_path
        except ImportError as error:
            raise VoxtwistError(
                f"evaluate_speech.asr is moonshine, but {error.name} is not installed: "
                "run `make setup` (moonshine-voice must be 0.1.0, later ones carry no weights)"
            ) from None
        folder = get_model_path("tiny-en")
        if not folder.is_dir():
            raise VoxtwistError("moonshine-voice carries no model: install exactly version 0.1.0")
        self._workers = workers or min(os.cpu_count() or 1, 4)
        self._free: SimpleQueue[Moonshine] = SimpleQueue()
        for _ in range(self._workers):
            self._free.put(Moonshine(folder, ModelArch.TINY, options={"vad_threshold": 0}))

    def transcribe(self, waveforms: Sequence[np.ndarray], rate: int) -> list[str]:
        with ThreadPoolExecutor(self._workers) as pool:
            heard = pool.map(lambda waveform: self._one(waveform, rate), waveforms)
            bar = tqdm(heard, "transcribing", len(waveforms), unit=" utterances", disable=None)
            return list(bar)

    def _one(self, waveform: np.ndarray, rate: int) -> str:
        if not len(waveform):
            return ""
        padded = np.pad(resample(waveform, rate, RATE), int(_SILENCE * RATE))
        model = self._free.get()
        try:
            lines = model.transcribe_without_streaming(padded.tolist(), RATE).lines
        finally:
            self._free.put(model)
        return " ".join(line.text.strip() for line in lines)


class WhisperTranscriber:
    """A Whisper checkpoint, in batches, on the GPU where there is one; greedy, English.

    It hears 30 s at a time: longer recordings are cut at pauses, and the windows' texts joined.
    """

    def __init__(self, name: str, batch_size: int = 16) -> None:
        from transformers import WhisperForConditionalGeneration, WhisperProcessor

        device = best_device()
        dtype = torch.float16 if device == "cuda" else torch.float32
        try:
            self._processor = WhisperProcessor.from_pretrained(name)
            self._model = WhisperForConditionalGeneration.from_pretrained(
                name, dtype=dtype, device_map=device
            )
        except (OSError, ValueError) as error:
            raise VoxtwistError(
                f"evaluate_speech.asr is {name!r}: that is neither moonshine, nor a folder with a "
                f"Whisper checkpoint, nor one that the hub gives ({error})"
            ) from None
        self._batch_size = batch_size

    def transcribe(self, waveforms: Sequence[np.ndarray], rate: int) -> list[str]:
        windows = [
            (i, window)
            for i, waveform in enumerate(waveforms)
            if len(waveform)
            for window in cut_at_pauses(resample(waveform, rate, RATE), RATE, _WHISPER_HEARS)
        ]
        heard: list[list[str]] = [[] for _ in waveforms]
        starts = range(0, len(windows), self._batch_size)
        for start in tqdm(starts, "transcribing", unit=" batches", disable=None):
            batch = windows[start : start + self._batch_size]
            texts = self._batch([window for _, window in batch])
            for (i, _), text in zip(batch, texts, strict=True):
                heard[i].append(text.strip())
        return [" ".join(texts) for texts in heard]

    @torch.inference_mode()
    def _batch(self, waveforms: list[np.ndarray]) -> list[str]:
        inputs = self._processor(
            waveforms, sampling_rate=RATE, return_tensors="pt", return_attention_mask=True
        ).to(self._model.device, self._model.dtype)
        options: dict[str, Any] = {"num_beams": 1, "do_sample": False}
        if getattr(self._model.generation_config, "is_multilingual", False):
            options["language"] = "en"
        ids = self._model.generate(
            inputs.input_features, attention_mask=inputs.attention_mask, **options
        )
        return list(self._processor.batch_decode(ids, skip_special_tokens=True))
