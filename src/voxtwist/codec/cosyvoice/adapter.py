"""CosyVoice v1 as a `SpeechCodec`: recordings to codes, and codes to one chosen voice."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from voxtwist.codec.audio import read_audio, resample
from voxtwist.codec.cosyvoice.config import CosyVoiceConfig
from voxtwist.codec.cosyvoice.model import CosyVoice
from voxtwist.codec.cosyvoice.prompt import MAX_SECONDS, RATE, FrontEnd, Prompt
from voxtwist.errors import VoxtwistError

DEFAULT_SPEAKER = "英文女"  # the SFT model's English female voice


class CosyVoiceCodec:
    """Encodes with `speech_tokenizer_v1.onnx`, decodes with one voice.

    What only one direction needs is loaded when that direction is first used.
    """

    name = "cosyvoice"

    def __init__(
        self,
        model_dir: str | Path,
        speaker: str = DEFAULT_SPEAKER,
        prompt_audio: str | Path | None = None,
        device: str = "cpu",
        seed: int = 0,
    ) -> None:
        """
        Args:
            speaker: a built-in voice, used unless there is a prompt.
            prompt_audio: a recording whose voice speaks.
            seed: of every `decode`.

        Raises:
            VoxtwistError: `model_dir` is not a CosyVoice v1 model.
        """
        self._model_dir = Path(model_dir)
        self._speaker = speaker
        self._prompt_audio = prompt_audio
        self._device = device
        self._seed = seed
        config = CosyVoiceConfig.read(self._model_dir)
        self.sample_rate = config.sample_rate
        self.frame_rate_hz = config.flow.input_frame_rate
        self.vocab_size = config.flow.vocab_size
        self._front_end = FrontEnd(self._model_dir, device)

    def encode(self, waveform: np.ndarray, rate: int) -> np.ndarray:
        """Mono float32 (N,) at `rate` Hz -> int64 codes (T,).

        The tokenizer hears at most 30 s at a time: a longer recording is cut into equal parts.

        Raises:
            VoxtwistError: too short for one code.
        """
        wave = resample(waveform, rate, RATE)
        samples_a_code = RATE // self.frame_rate_hz
        if len(wave) < samples_a_code:
            raise VoxtwistError(
                f"a recording of {len(wave) / RATE:.3f} s is shorter than one speech token "
                f"({1 / self.frame_rate_hz} s)"
            )
        parts = -(-len(wave) // int(MAX_SECONDS * RATE))
        edges = [len(wave) * i // parts // samples_a_code * samples_a_code for i in range(parts)]
        rate, parts_16k = self.frame_rate_hz, np.split(wave, edges[1:])
        return np.concatenate([self._front_end.tokens(part, rate) for part in parts_16k])

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Codes (T,) -> mono float32 (N,) at `sample_rate` Hz; errors as `CosyVoice.decode`."""
        return self._model.decode(codes, self._voice, seed=self._seed)[0].numpy()

    def decode_many(self, utterances: Sequence[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
        """As `decode` for each: (its index, its waveform); on a GPU in batches of like lengths."""
        waves = self._model.decode_many(utterances, self._voice, seed=self._seed)
        return ((i, wave[0].numpy()) for i, wave in waves)

    @cached_property
    def _model(self) -> CosyVoice:
        return CosyVoice.load(self._model_dir, self._device)

    @cached_property
    def _voice(self) -> Prompt:
        if self._prompt_audio is None:
            return self._model.speaker(self._speaker)
        return self._model.prompt(*read_audio(Path(self._prompt_audio)))
