"""Speech tokens to a mel spectrogram by conditional flow matching (CosyVoice v1).

Du et al. 2024, "CosyVoice: A Scalable Multilingual Zero-shot Text-to-speech Synthesizer based on
Supervised Semantic Tokens", section 2.3.
"""

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from voxtwist.codec.cosyvoice.config import CosyVoiceConfig, LengthRegulatorConfig
from voxtwist.codec.cosyvoice.encoder import Encoder
from voxtwist.codec.cosyvoice.estimator import Estimator
from voxtwist.codec.cosyvoice.masking import MaskedGroupNorm, blank, frame_mask

EULER_STEPS = 10
# Of an utterance of more than two of these, the first and the last are stretched on their own.
EDGE_TOKENS = 20


class Flow(nn.Module):
    """Tokens and a voice -> mel spectrogram."""

    def __init__(self, config: CosyVoiceConfig) -> None:
        super().__init__()
        flow = config.flow
        self.token_rate = flow.input_frame_rate
        self.sample_rate = config.sample_rate
        self.hop = config.hift.hop
        self.n_mels = flow.output_size
        self.input_embedding = nn.Embedding(flow.vocab_size, flow.input_size)
        self.spk_embed_affine_layer = nn.Linear(flow.spk_embed_dim, flow.output_size)
        self.encoder = Encoder(flow.encoder)
        self.encoder_proj = nn.Linear(flow.encoder.output_size, flow.output_size)
        self.length_regulator = LengthRegulator(flow.length_regulator)
        self.decoder = EulerDecoder(
            Estimator(flow.decoder.estimator), flow.decoder.cfm_params.content.inference_cfg_rate
        )

    def frames(self, tokens: int) -> int:
        """Mel frames of this many tokens."""
        return int(tokens / self.token_rate * self.sample_rate / self.hop)

    @torch.inference_mode()
    def forward(
        self,
        tokens: Tensor,
        speaker: Tensor,
        prompt_tokens: Tensor | None = None,
        prompt_mel: Tensor | None = None,
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
        *,
        lengths: list[int] | None = None,
        steps: int = EULER_STEPS,
    ) -> Tensor:
        """Mel spectrogram (B, n_mels, T) of log amplitudes, without the prompt's frames.

        Each row comes out as it would alone; frames past its end are zero.

        Args:
            tokens: (B, N) int; rows shorter than N padded with any token.
            speaker: (1, 192), of the voice that all rows share.
            prompt_tokens: (1, P) int, what the voice says in the prompt.
            prompt_mel: (1, T_p, n_mels), the prompt's spectrogram.
            noise: (B, n_mels, T_p + T) standard normal; drawn with `generator` (on its device)
                if not given.
            lengths: tokens of each row; all N by default.
            steps: Euler steps; the published model uses ten.
        """
        device = self.input_embedding.weight.device
        batch, longest = tokens.shape
        lengths = lengths or [longest] * batch
        if prompt_tokens is None:
            prompt_tokens = tokens.new_zeros(1, 0)
        if prompt_mel is None:
            prompt_mel = torch.zeros(1, 0, self.n_mels)
        prompt_mel = prompt_mel.to(device).expand(batch, -1, -1).transpose(1, 2)
        n_prompt, prompt_frames = prompt_tokens.shape[1], prompt_mel.shape[2]
        frames = [self.frames(length) for length in lengths]

        hidden = self._encode(
            torch.cat([prompt_tokens.expand(batch, -1).to(tokens), tokens], dim=1).to(device),
            [n_prompt + length for length in lengths],
        )
        stretched = [
            self._stretch(row[:, : n_prompt + length], n_prompt, prompt_frames, n_frames)
            for row, length, n_frames in zip(hidden, lengths, frames, strict=True)
        ]
        mask = frame_mask([prompt_frames + n for n in frames], device)
        mu = self.length_regulator(_pad_frames(stretched), mask)

        if noise is None:
            shape = (batch, self.n_mels, mu.shape[2])
            where = generator.device if generator else None
            noise = torch.randn(shape, generator=generator, device=where)
        voice = self.spk_embed_affine_layer(F.normalize(speaker.to(device)))
        mel = self.decoder(
            noise.to(device),
            mu,
            voice[..., None].expand_as(mu),
            F.pad(prompt_mel, (0, mu.shape[2] - prompt_frames)),
            mask,
            steps,
        )
        return blank(mel, mask)[..., prompt_frames:]

    def _encode(self, tokens: Tensor, lengths: list[int]) -> Tensor:
        """(B, N) -> (B, n_mels, N)."""
        mask = frame_mask(lengths, tokens.device)
        hidden = self.encoder(
            self.input_embedding(tokens), None if mask is None else mask[:, 0].bool()
        )
        return self.encoder_proj(hidden).transpose(1, 2)

    def _stretch(self, x: Tensor, n_prompt: int, prompt_frames: int, frames: int) -> Tensor:
        """Encoded prompt and tokens (n_mels, P + N) -> (n_mels, prompt_frames + frames)."""
        prompt, speech = x[:, :n_prompt], x[:, n_prompt:]
        parts = [(prompt, prompt_frames)] if n_prompt else []
        if speech.shape[1] > 2 * EDGE_TOKENS:
            edge = self.frames(EDGE_TOKENS)
            parts += [
                (speech[:, :EDGE_TOKENS], edge),
                (speech[:, EDGE_TOKENS:-EDGE_TOKENS], frames - 2 * edge),
                (speech[:, -EDGE_TOKENS:], edge),
            ]
        else:
            parts.append((speech, frames))
        return torch.cat([interpolate(part[None], size)[0] for part, size in parts], dim=1)


class LengthRegulator(nn.Module):
    """Smooths encoded tokens that were stretched to mel frames: (B, C, T) -> (B, C, T)."""

    def __init__(self, config: LengthRegulatorConfig) -> None:
        super().__init__()
        width = config.channels
        layers: list[nn.Module] = []
        for _ in config.sampling_ratios:
            layers += [nn.Conv1d(width, width, 3, padding=1), MaskedGroupNorm(1, width), nn.Mish()]
        self.model = nn.Sequential(*layers, nn.Conv1d(width, width, 1))

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        for layer in self.model:
            x = layer(x, mask) if isinstance(layer, MaskedGroupNorm) else layer(blank(x, mask))
        return blank(x, mask)


class EulerDecoder(nn.Module):
    """Integrates the velocity from noise (t = 0) to a mel spectrogram (t = 1)."""

    def __init__(self, estimator: Estimator, guidance: float) -> None:
        super().__init__()
        self.estimator = estimator
        self.guidance = guidance
        self.precision = torch.float32  # of the estimator; the integration stays in float32

    def forward(
        self,
        x: Tensor,
        mu: Tensor,
        voice: Tensor,
        prompt: Tensor,
        mask: Tensor | None,
        steps: int,
    ) -> Tensor:
        """All of (B, n_mels, T).

        Classifier-free guidance: the second half of each batch has no condition, and
        v = (1 + guidance) · conditional - guidance · unconditional.
        """
        condition = torch.cat([mu, voice, prompt], dim=1)
        condition = torch.cat([condition, torch.zeros_like(condition)])
        both = None if mask is None else mask.repeat(2, 1, 1)
        # Cosine schedule: small steps first, where the direction changes most.
        times = 1 - torch.cos(torch.linspace(0, 1, steps + 1, device=x.device) * (math.pi / 2))
        for now, after in itertools.pairwise(times):
            state = torch.cat([x.repeat(2, 1, 1), condition], dim=1)
            with torch.autocast(x.device.type, self.precision, self.precision != torch.float32):
                conditional, free = self.estimator(state, now[None], both).float().chunk(2)
            velocity = (1 + self.guidance) * conditional - self.guidance * free
            x = x + (after - now) * velocity
        return x


def interpolate(x: Tensor, frames: int) -> Tensor:
    """Linear in time: (B, C, T) -> (B, C, frames)."""
    return F.interpolate(x, size=frames, mode="linear")


def _pad_frames(rows: list[Tensor]) -> Tensor:
    longest = max(row.shape[1] for row in rows)
    return torch.stack([F.pad(row, (0, longest - row.shape[1])) for row in rows])
