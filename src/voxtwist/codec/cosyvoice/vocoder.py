"""Mel spectrogram to waveform: HiFT, a harmonic source filtered by convolutions into an ISTFT.

Li et al. 2023, "HiFTNet: A Fast High-Quality Neural Vocoder with Harmonic-plus-Noise Filter and
Inverse Short Time Fourier Transform".
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from voxtwist.codec.cosyvoice.config import VocoderConfig


class Vocoder(nn.Module):
    """Mel (1, n_mels, T) -> waveform (1, T · hop) in [-audio_limit, audio_limit]."""

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.config = config
        n_fft = config.istft_params.n_fft
        width, rates = config.base_channels, config.upsample_rates
        widths = [width // 2 ** (i + 1) for i in range(len(rates))]
        self.m_source = HarmonicSource(config)
        self.f0_predictor = F0Predictor(config.in_channels, config.f0_predictor.cond_channels)
        self.conv_pre = nn.Conv1d(config.in_channels, width, 7, padding=3)
        self.ups = nn.ModuleList(
            nn.ConvTranspose1d(2 * out, out, kernel, stride=rate, padding=(kernel - rate) // 2)
            for out, kernel, rate in zip(widths, config.upsample_kernel_sizes, rates, strict=True)
        )
        # What is left between each stage's rate and that of the source's STFT.
        strides = [math.prod(rates[i + 1 :]) for i in range(len(rates))]
        self.source_downs = nn.ModuleList(
            nn.Conv1d(n_fft + 2, out, 1)
            if stride == 1
            else nn.Conv1d(n_fft + 2, out, 2 * stride, stride, padding=stride // 2)
            for out, stride in zip(widths, strides, strict=True)
        )
        self.source_resblocks = nn.ModuleList(
            ResidualBlock(out, kernel, dilations)
            for out, kernel, dilations in zip(
                widths,
                config.source_resblock_kernel_sizes,
                config.source_resblock_dilation_sizes,
                strict=True,
            )
        )
        self.resblocks = nn.ModuleList(
            ResidualBlock(out, kernel, dilations)
            for out in widths
            for kernel, dilations in zip(
                config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True
            )
        )
        self.conv_post = nn.Conv1d(widths[-1], n_fft + 2, 7, padding=3)

    @torch.inference_mode()
    def forward(
        self, mel: Tensor, source: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """Waveform (1, N) of mel (1, n_mels, T), from an excitation (1, 1, N) if one is given.

        Otherwise the excitation follows from the predicted F0, its phases and noise drawn with
        `generator` (a CPU one).
        """
        mel = mel.to(self.conv_pre.weight.device)
        if source is None:
            source = self.m_source(self.f0_predictor(mel), generator)
        x = self._filter(mel, self._stft(source.to(mel)[:, 0]))
        magnitude, phase = x.chunk(2, dim=1)
        spectrum = torch.polar(magnitude.exp().clamp(max=100.0), phase.sin())
        n_fft, hop = self.config.istft_params.n_fft, self.config.istft_params.hop_len
        wave = torch.istft(spectrum, n_fft, hop, window=_hann(n_fft, mel.device))
        return wave.clamp(-self.config.audio_limit, self.config.audio_limit)

    def _stft(self, source: Tensor) -> Tensor:
        """(1, N) -> (1, n_fft + 2, N / hop + 1): real parts, then imaginary ones."""
        n_fft, hop = self.config.istft_params.n_fft, self.config.istft_params.hop_len
        window = _hann(n_fft, source.device)
        spectrum = torch.stft(source, n_fft, hop, window=window, return_complex=True)
        return torch.cat([spectrum.real, spectrum.imag], dim=1)

    def _filter(self, mel: Tensor, excitation: Tensor) -> Tensor:
        kernels = len(self.config.resblock_kernel_sizes)
        x = self.conv_pre(mel)
        for i, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, self.config.lrelu_slope))
            if i == len(self.ups) - 1:  # the STFT has one frame more than the upsampled mel
                x = F.pad(x, (1, 0), mode="reflect")
            x = x + self.source_resblocks[i](self.source_downs[i](excitation))
            blocks = self.resblocks[i * kernels : (i + 1) * kernels]
            x = sum(block(x) for block in blocks) / kernels
        return self.conv_post(F.leaky_relu(x))


class F0Predictor(nn.Module):
    """Mel (B, n_mels, T) -> fundamental frequency (B, T) in Hz."""

    def __init__(self, n_mels: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i in range(5):
            layers += [nn.Conv1d(width if i else n_mels, width, 3, padding=1), nn.ELU()]
        self.condnet = nn.Sequential(*layers)
        self.classifier = nn.Linear(width, 1)

    @torch.inference_mode()
    def forward(self, mel: Tensor) -> Tensor:
        return self.classifier(self.condnet(mel).transpose(1, 2)).squeeze(-1).abs()


class HarmonicSource(nn.Module):
    """F0 (1, T) in Hz -> excitation (1, 1, T · hop): harmonics where voiced, noise everywhere.

    Wang et al. 2019, "Neural source-filter waveform models". Drawn on the CPU, so that a seed gives
    the same voice on every device, and in float64, as a running sum of phases loses its fraction
    in float32.
    """

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.config = config
        self.l_linear = nn.Linear(config.nb_harmonics + 1, 1)

    def forward(self, f0: Tensor, generator: torch.Generator | None = None) -> Tensor:
        config = self.config
        f0_at_samples = f0[0].cpu().double().repeat_interleave(config.hop)
        cycles = torch.cumsum(f0_at_samples / config.sampling_rate, dim=0)
        harmonics = torch.arange(1, config.nb_harmonics + 2)
        start = torch.rand(len(harmonics), generator=generator) - 0.5
        start[0] = 0
        phase = 2 * math.pi * ((cycles[:, None] * harmonics) % 1 + start)
        voiced = (f0_at_samples > config.nsf_voiced_threshold)[:, None]
        noise_scale = torch.where(voiced, config.nsf_sigma, config.nsf_alpha / 3)
        noise = noise_scale * torch.randn(phase.shape, generator=generator)
        waves = config.nsf_alpha * phase.sin() * voiced + noise
        return torch.tanh(self.l_linear(waves.to(self.l_linear.weight))).T[None]


class ResidualBlock(nn.Module):
    """Pairs of a dilated and a plain convolution, each after a Snake activation."""

    def __init__(self, width: int, kernel: int, dilations: list[int]) -> None:
        super().__init__()

        def conv(dilation: int) -> nn.Conv1d:
            padding = dilation * (kernel - 1) // 2
            return nn.Conv1d(width, width, kernel, dilation=dilation, padding=padding)

        self.convs1 = nn.ModuleList(conv(dilation) for dilation in dilations)
        self.convs2 = nn.ModuleList(conv(1) for _ in dilations)
        self.activations1 = nn.ModuleList(Snake(width) for _ in dilations)
        self.activations2 = nn.ModuleList(Snake(width) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        for conv1, conv2, snake1, snake2 in zip(
            self.convs1, self.convs2, self.activations1, self.activations2, strict=True
        ):
            x = x + conv2(snake2(conv1(snake1(x))))
        return x


class Snake(nn.Module):
    """x + sin²(αx) / α (Ziyin et al. 2020): keeps a periodic signal periodic."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        alpha = self.alpha[:, None]
        return x + torch.sin(x * alpha).square() / (alpha + 1e-9)


def _hann(n_fft: int, device: torch.device) -> Tensor:
    return torch.hann_window(n_fft, device=device)
