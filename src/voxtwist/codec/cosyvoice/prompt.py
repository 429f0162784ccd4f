"""The prompt: what CosyVoice takes from a few seconds of somebody's voice.

Everything that the prompt alone determines is worked out once and kept in a `Prompt`: the speaker's
embedding, what is said as tokens, and how it sounds as a mel spectrogram.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchaudio
from torch import Tensor

from voxtwist.codec.audio import resample
from voxtwist.codec.cosyvoice.config import CosyVoiceConfig, MelConfig
from voxtwist.errors import VoxtwistError

RATE = 16_000  # Hz, of both ONNX models
MAX_SECONDS = 30.0  # the speech tokenizer's positions end here
MIN_SECONDS = 0.1
TOKENIZER = "speech_tokenizer_v1.onnx"
SILENCE = 1e-3  # peak amplitude, -60 dB


@dataclass(frozen=True)
class Prompt:
    """A voice, ready for any number of utterances.

    Attributes:
        speaker: (1, 192) float32.
        tokens: (1, P) int64; P = 0 for a built-in speaker.
        mel: (1, T_p, 80) float32; T_p = 0 for a built-in speaker.
    """

    speaker: Tensor
    tokens: Tensor
    mel: Tensor

    @classmethod
    def built_in(cls, speaker: Tensor, n_mels: int) -> "Prompt":
        """A voice known by its embedding alone."""
        return cls(speaker, torch.zeros(1, 0, dtype=torch.long), torch.zeros(1, 0, n_mels))


class FrontEnd:
    """The two ONNX models of a model folder, opened when first used."""

    def __init__(self, model_dir: Path, device: str = "cpu") -> None:
        self.model_dir = Path(model_dir)
        self.device = device

    @cached_property
    def _campplus(self) -> Any:
        return _open_onnx(self.model_dir / "campplus.onnx", self.device)

    @cached_property
    def _tokenizer(self) -> Any:
        return _open_onnx(self.model_dir / TOKENIZER, self.device)

    def prompt(self, waveform: np.ndarray, rate: int, config: CosyVoiceConfig) -> Prompt:
        """Mono float32 waveform (N,) at `rate` Hz -> the voice.

        Raises:
            VoxtwistError: over 30 s, too short, silent, or not numbers.
        """
        seconds = len(waveform) / rate
        if not MIN_SECONDS <= seconds <= MAX_SECONDS:
            raise VoxtwistError(
                f"the prompt audio lasts {seconds:.2f} s: give {MIN_SECONDS} to "
                f"{MAX_SECONDS:.0f} s (3 to 10 s of clear speech serve best)"
            )
        if not np.isfinite(waveform).all():
            raise VoxtwistError("the prompt audio holds values that are not numbers")
        if np.abs(waveform).max() < SILENCE:
            raise VoxtwistError("the prompt audio is silent: give 3 to 10 s of clear speech")
        mel = config.feat_extractor
        wave_16k = resample(waveform, rate, RATE)
        own_rate = torch.from_numpy(resample(waveform, rate, mel.sampling_rate))
        return Prompt(
            speaker=self.speaker_embedding(wave_16k),
            tokens=torch.from_numpy(self.tokens(wave_16k, config.flow.input_frame_rate))[None],
            mel=prompt_mel(own_rate[None], mel),
        )

    def speaker_embedding(self, wave_16k: np.ndarray) -> Tensor:
        """(N,) at 16 kHz -> (1, 192)."""
        features = kaldi_fbank(torch.from_numpy(wave_16k)[None])[None].numpy()
        session = self._campplus
        (embedding,) = session.run(None, {session.get_inputs()[0].name: features})[:1]
        return torch.from_numpy(np.asarray(embedding, np.float32).reshape(1, -1))

    def tokens(self, wave_16k: np.ndarray, token_rate: int) -> np.ndarray:
        """(N,) at 16 kHz, at most 30 s -> int64 codes (P,).

        Args:
            token_rate: tokens per second that the model expects.

        Raises:
            VoxtwistError: so many or few that the tokenizer must have another rate than the model.
        """
        features = whisper_mel(torch.from_numpy(wave_16k)[None]).numpy()
        session = self._tokenizer
        mel_input, length_input = session.get_inputs()
        length = np.array([features.shape[2]], np.int32)
        (codes,) = session.run(None, {mel_input.name: features, length_input.name: length})[:1]
        found = np.asarray(codes).reshape(-1).astype(np.int64)
        seconds = len(wave_16k) / RATE
        expected = seconds * token_rate
        if abs(len(found) - expected) > expected / 4 + 2:  # a tokenizer rounds at the end
            raise VoxtwistError(
                f"{self.model_dir / TOKENIZER} makes {len(found)} tokens of {seconds:.2f} s, but "
                f"input_frame_rate of cosyvoice.yaml is {token_rate} per second: "
                "take all files from one model"
            )
        return found


def kaldi_fbank(wave_16k: Tensor) -> Tensor:
    """Kaldi's log mel energies (T, 80) of (1, N), less their mean over the utterance."""
    features = torchaudio.compliance.kaldi.fbank(
        wave_16k, num_mel_bins=80, dither=0.0, sample_frequency=RATE
    )
    return features - features.mean(dim=0, keepdim=True)


def whisper_mel(wave_16k: Tensor) -> Tensor:
    """Whisper's log mel (1, 128, T) of (1, N), 100 frames a second, without padding to 30 s.

    Radford et al. 2022: log10 of a Slaney mel, floored 8 below its maximum, then (x + 4) / 4.
    """
    n_fft, hop = 400, 160
    spectrum = torch.stft(
        wave_16k, n_fft, hop, window=torch.hann_window(n_fft), return_complex=True
    )
    power = spectrum[..., :-1].abs().square()
    log_mel = (_mel_filters(n_fft, 0.0, RATE / 2, 128, RATE) @ power).clamp(min=1e-10).log10()
    return (log_mel.clamp(min=log_mel.max() - 8.0) + 4.0) / 4.0


def prompt_mel(wave: Tensor, config: MelConfig) -> Tensor:
    """HiFi-GAN's log mel (1, T, n_mels) of (1, N) at `config.sampling_rate`."""
    pad = (config.n_fft - config.hop_size) // 2
    spectrum = torch.stft(
        torch.nn.functional.pad(wave, (pad, pad), mode="reflect"),
        config.n_fft,
        config.hop_size,
        config.win_size,
        torch.hann_window(config.win_size),
        center=False,
        return_complex=True,
    )
    amplitude = (spectrum.abs().square() + 1e-9).sqrt()
    filters = _mel_filters(
        config.n_fft, config.fmin, config.fmax, config.num_mels, config.sampling_rate
    )
    return (filters @ amplitude).clamp(min=1e-5).log().transpose(1, 2)


def _mel_filters(n_fft: int, low: float, high: float, bins: int, rate: int) -> Tensor:
    """(bins, n_fft / 2 + 1), Slaney's scale and normalisation."""
    return torchaudio.functional.melscale_fbanks(
        n_fft // 2 + 1, low, high, bins, rate, norm="slaney", mel_scale="slaney"
    ).T


def _open_onnx(path: Path, device: str) -> Any:
    import onnxruntime

    if not path.is_file():
        raise VoxtwistError(
            f"{path} does not exist: it comes with CosyVoice-300M. "
            "Without it, use a built-in speaker (--speaker) of CosyVoice-300M-SFT"
        )
    wanted = ["CUDAExecutionProvider"] if device.startswith("cuda") else []
    available = onnxruntime.get_available_providers()
    providers = [p for p in [*wanted, "CPUExecutionProvider"] if p in available]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # onnxruntime has a dozen exception types without a common base
        raise VoxtwistError(f"{path} cannot be read as an ONNX model: {error}") from None
