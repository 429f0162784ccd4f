"""CosyVoice v1 from its published folder: tokens and a voice become a waveform."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from voxtwist.codec.cosyvoice.config import CosyVoiceConfig
from voxtwist.codec.cosyvoice.flow import EULER_STEPS, Flow, interpolate
from voxtwist.codec.cosyvoice.prompt import FrontEnd, Prompt
from voxtwist.codec.cosyvoice.vocoder import Vocoder
from voxtwist.codec.cosyvoice.weights import load_weights, read_pt
from voxtwist.codec.files import check_codes
from voxtwist.errors import VoxtwistError

Tokens = Sequence[int] | np.ndarray | Tensor


class CosyVoice:
    """The decoder of CosyVoice-300M, -SFT and -Instruct.

    Attributes:
        flow: tokens to mel (see `flow.Flow.forward`).
        vocoder: mel to waveform (see `vocoder.Vocoder.forward`).
        sample_rate: Hz of the waveforms (22,050).
        device: where both run.
    """

    def __init__(
        self, config: CosyVoiceConfig, flow: Flow, vocoder: Vocoder, model_dir: Path, device: str
    ) -> None:
        self.config = config
        self.flow = flow
        self.vocoder = vocoder
        self.sample_rate = config.sample_rate
        self.device = torch.device(device)
        self._model_dir = model_dir
        self._front_end = FrontEnd(model_dir, device)

    @classmethod
    def load(
        cls,
        model_dir: str | Path,
        device: str = "cpu",
        precision: torch.dtype = torch.float32,
        compile_estimator: bool = False,
    ) -> "CosyVoice":
        """Load `cosyvoice.yaml`, `flow.pt` and `hift.pt`; the other files when first needed.

        Nothing in the folder is executed.

        Args:
            precision: bfloat16 runs the U-Net under autocast. For GPUs: slower on most CPUs.
            compile_estimator: torch.compile the U-Net, when it is first called.

        Raises:
            VoxtwistError: a file is missing or damaged, the model is not CosyVoice v1, or there is
                no such device.
        """
        model_dir = Path(model_dir)
        try:
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).partition("\n")[0]
            raise VoxtwistError(f"device {device!r} cannot be used: {reason}") from None
        config = CosyVoiceConfig.read(model_dir)
        with torch.device("meta"):
            flow, vocoder = Flow(config), Vocoder(config.hift)
        load_weights(flow, model_dir / "flow.pt", device)
        load_weights(vocoder, model_dir / "hift.pt", device)
        flow.decoder.precision = precision
        if compile_estimator:
            flow.decoder.estimator.compile()
        return cls(config, flow, vocoder, model_dir, device)

    def prompt(self, waveform: np.ndarray, rate: int) -> Prompt:
        """The voice of a mono float32 recording (N,) at `rate` Hz, of at most 30 s.

        Runs both ONNX models: keep the result for all utterances of the voice.

        Raises:
            VoxtwistError: too long, too short or silent; or the ONNX models are missing.
        """
        return self._front_end.prompt(waveform, rate, self.config)

    def speaker(self, name: str) -> Prompt:
        """A built-in voice of the SFT model.

        Raises:
            VoxtwistError: no such speaker (the message lists those there are).
        """
        if name not in self._speakers:
            raise VoxtwistError(
                f"no speaker {name!r} in {self._model_dir / 'spk2info.pt'}: "
                f"choose from {', '.join(self._speakers) or '(none)'}"
            )
        return Prompt.built_in(self._speakers[name], self.config.flow.output_size)

    @cached_property
    def _speakers(self) -> dict[str, Tensor]:
        path = self._model_dir / "spk2info.pt"
        if not path.is_file():
            raise VoxtwistError(
                f"{path} does not exist: only CosyVoice-300M-SFT has built-in speakers. "
                "Take its folder, or give a recording (--prompt-audio)"
            )
        try:
            return {
                str(name): info["embedding"].float().reshape(1, self.config.flow.spk_embed_dim)
                for name, info in read_pt(path).items()
            }
        except (AttributeError, KeyError, TypeError, RuntimeError):
            raise VoxtwistError(f"{path} does not map speakers to embeddings") from None

    def decode(
        self,
        tokens: Tokens,
        voice: Prompt | str,
        speed: float = 1.0,
        seed: int = 0,
        steps: int = EULER_STEPS,
    ) -> Tensor:
        """Waveform (1, N) float32 on the CPU of `tokens`, spoken by a prompt or a named speaker.

        Args:
            tokens: codes (N,) or (1, N).
            speed: 1.3 speaks faster by that factor, at the same pitch.
            seed: of the flow's noise and the vocoder's; the same seed gives the same waveform.
            steps: Euler steps; fewer are faster and less exact.

        Raises:
            VoxtwistError: no tokens, a token that is not a code, or a speed that leaves no frame.
        """
        ((_, wave),) = self.decode_many([tokens], voice, speed, seed, steps)
        return wave

    def decode_many(
        self,
        utterances: Sequence[Tokens],
        voice: Prompt | str,
        speed: float = 1.0,
        seed: int = 0,
        steps: int = EULER_STEPS,
        batch_size: int | None = None,
    ) -> Iterator[tuple[int, Tensor]]:
        """As `decode` for each of `utterances`: (its index, its waveform), longest first.

        The flow runs in batches of like lengths; each result is that of `decode` alone.

        Args:
            batch_size: by default 8 on a GPU and 1 on a CPU, which a batch does not speed up.
        """
        if batch_size is None:
            batch_size = 1 if self.device.type == "cpu" else 8
        if isinstance(voice, str):
            voice = self.speaker(voice)
        if steps < 1:
            raise VoxtwistError(f"steps is {steps}: it must be at least 1")
        codes = [
            check_codes(tokens, self.config.flow.vocab_size, f"utterance {i}")
            for i, tokens in enumerate(utterances)
        ]
        for tokens in codes:
            self._frames_at_speed(self.flow.frames(len(tokens)), speed)
        order = sorted(range(len(codes)), key=lambda i: -len(codes[i]))
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            generators = [torch.Generator().manual_seed(seed) for _ in batch]
            mels = self._mels([codes[i] for i in batch], voice, generators, steps)
            for i, mel, generator in zip(batch, mels, generators, strict=True):
                if speed != 1.0:
                    mel = interpolate(mel, self._frames_at_speed(mel.shape[2], speed))
                # One by one: a vocoder's batch saves nothing, its sequences being so long.
                yield i, self.vocoder(mel, generator=generator).cpu()

    def _mels(
        self,
        codes: list[np.ndarray],
        voice: Prompt,
        generators: list[torch.Generator],
        steps: int,
    ) -> list[Tensor]:
        lengths = [len(row) for row in codes]
        frames = [self.flow.frames(length) for length in lengths]
        shape = (self.config.flow.output_size, max(frames) + voice.mel.shape[1])
        tokens = torch.zeros(len(codes), max(lengths), dtype=torch.long)
        noise = torch.zeros(len(codes), *shape)
        for i, (row, generator) in enumerate(zip(codes, generators, strict=True)):
            tokens[i, : len(row)] = torch.from_numpy(row)
            own = voice.mel.shape[1] + frames[i]
            noise[i, :, :own] = torch.randn(shape[0], own, generator=generator)
        mel = self.flow(
            tokens, voice.speaker, voice.tokens, voice.mel, noise, lengths=lengths, steps=steps
        )
        return [row[None, :, :n] for row, n in zip(mel, frames, strict=True)]

    @staticmethod
    def _frames_at_speed(frames: int, speed: float) -> int:
        if not speed > 0:
            raise VoxtwistError(f"speed is {speed}: it must be above 0")
        if int(frames / speed) < 1:
            raise VoxtwistError(f"speed {speed} leaves nothing of {frames} mel frames: lower it")
        return int(frames / speed)
