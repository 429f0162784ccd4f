"""The embedded codec: k-means codes of short-time spectra, fitted on one voice in two minutes.

A code is the nearest of `n_codes` centroids in cepstral space. The decoder, a small convolutional
net, sees each code in its context (some 0.4 s) and predicts the magnitudes of a finer spectrogram,
which Griffin-Lim turns into sound.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from safetensors.torch import load_file, save_file
from sklearn.cluster import MiniBatchKMeans
from torch import Tensor, nn
from torch.nn.functional import gelu

from voxtwist.codec import spectrogram
from voxtwist.codec.audio import resample
from voxtwist.errors import VoxtwistError

_WEIGHTS, _CONFIG = "codec.safetensors", "config.json"
_STEPS, _BATCH, _SPAN, _RATE = 1200, 16, 96, 1e-3  # of the decoder's fit; a span is about 2 s


class ContextDecoder(nn.Module):
    """Spectra of codes (B, 80, T) -> fine magnitudes (B, 2 * 513, T)."""

    def __init__(self, width: int = 256, kernel: int = 5, layers: int = 3) -> None:
        super().__init__()
        pad = kernel // 2
        self.input = nn.Conv1d(spectrogram.MELS, width, kernel, padding=pad)
        self.blocks = nn.ModuleList(
            nn.Conv1d(width, width, kernel, padding=pad) for _ in range(layers)
        )
        self.output = nn.Conv1d(width, spectrogram.FINE * spectrogram.BINS, 1)

    def forward(self, spectra: Tensor) -> Tensor:
        hidden = self.input(spectra)
        for block in self.blocks:
            hidden = hidden + block(gelu(hidden))
        return self.output(gelu(hidden))


class KMeansCodec:
    """A `SpeechCodec`. It reads mono waveforms of any rate and writes 24 kHz.

    Attributes:
        centroids: float32 (n_codes, 20), cepstra.
        spectra: float32 (n_codes, 80), the mean log-mel spectrum of each code, standardised.
    """

    name = "kmeans"
    sample_rate = spectrogram.SAMPLE_RATE
    frame_rate_hz = spectrogram.FRAME_RATE_HZ

    def __init__(self, centroids: Tensor, spectra: Tensor, decoder: ContextDecoder) -> None:
        self.centroids, self.spectra, self.decoder = centroids, spectra, decoder.eval()
        self.vocab_size = len(centroids)

    @property
    def code_vectors(self) -> Tensor:
        """(n_codes, 80): vectors that lie close where codes sound alike."""
        return self.spectra

    def encode(self, waveform: np.ndarray, rate: int) -> np.ndarray:
        """Mono float32 waveform (N,) at `rate` Hz -> int64 codes (T,), 50 a second."""
        wave = torch.from_numpy(np.ascontiguousarray(resample(waveform, rate, self.sample_rate)))
        return nearest(spectrogram.cepstra(spectrogram.log_mel(wave)), self.centroids).numpy()

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Codes (T,) -> mono float32 waveform (T * 480,) at 24 kHz.

        Raises:
            VoxtwistError: no codes, or a code outside ``[0, n_codes)``.
        """
        codes = np.asarray(codes, dtype=np.int64)
        if not codes.size:
            raise VoxtwistError("there are no speech codes to decode")
        if codes.min() < 0 or codes.max() >= self.vocab_size:
            raise VoxtwistError(
                f"speech codes range from {codes.min()} to {codes.max()}: "
                f"this codec has 0 to {self.vocab_size - 1}"
            )
        with torch.inference_mode():
            spectra = self.spectra[torch.from_numpy(codes)].T.unsqueeze(0)
            wave = spectrogram.invert(self.decoder(spectra)[0].T)
        return wave.clamp(-1, 1).numpy()

    def decode_many(self, utterances: Sequence[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
        """As `decode` for each: (its index, its waveform).

        One by one: padded into batches they take twice the time, since the spectrograms of one
        utterance fit into the processor's cache and those of many do not (benchmarks/kmeans.py).
        """
        return enumerate(map(self.decode, utterances))

    def save(self, folder: Path) -> None:
        """Write the codec's two files."""
        folder.mkdir(parents=True, exist_ok=True)
        decoder = {f"decoder.{name}": part for name, part in self.decoder.state_dict().items()}
        tensors = {"centroids": self.centroids, "spectra": self.spectra, **decoder}
        save_file({name: part.contiguous() for name, part in tensors.items()}, folder / _WEIGHTS)
        config = {
            "codec": self.name,
            "vocab_size": self.vocab_size,
            "frame_rate_hz": self.frame_rate_hz,
            "sample_rate": self.sample_rate,
        }
        (folder / _CONFIG).write_text(json.dumps(config, indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> "KMeansCodec":
        """Read a codec that `save` wrote.

        Raises:
            VoxtwistError: the folder does not hold one.
        """
        try:
            tensors = load_file(Path(folder) / _WEIGHTS)
        except OSError:
            raise VoxtwistError(
                f"{folder} holds no k-means codec ({_WEIGHTS} is missing)"
            ) from None
        decoder = ContextDecoder()
        prefix = "decoder."
        decoder.load_state_dict(
            {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        )
        return cls(tensors["centroids"], tensors["spectra"], decoder)

    @classmethod
    def fit(cls, waveforms: Sequence[np.ndarray], n_codes: int, seed: int) -> "KMeansCodec":
        """Fit centroids and decoder on mono 24 kHz waveforms, deterministically.

        Raises:
            VoxtwistError: fewer frames (50 a second) than codes.
        """
        waves = [torch.from_numpy(np.ascontiguousarray(w, dtype=np.float32)) for w in waveforms]
        mels = torch.cat([spectrogram.log_mel(wave) for wave in waves])
        if len(mels) < n_codes:
            raise VoxtwistError(
                f"{len(mels) / spectrogram.FRAME_RATE_HZ:.0f} s of speech are too few for "
                f"{n_codes} codes: raise corpus.codec_minutes or lower corpus.n_codes"
            )
        cepstra = spectrogram.cepstra(mels)
        clusters = MiniBatchKMeans(
            n_codes, batch_size=8192, n_init=1, max_iter=60, random_state=seed
        ).fit(cepstra.numpy())
        centroids = torch.from_numpy(clusters.cluster_centers_).float()
        codes = nearest(cepstra, centroids)
        standardised = (mels - mels.mean(0)) / mels.std(0)
        spectra = torch.zeros(n_codes, spectrogram.MELS).index_add_(0, codes, standardised)
        spectra /= torch.bincount(codes, minlength=n_codes).clamp(min=1).unsqueeze(1)
        fine = torch.cat([spectrogram.fine_magnitudes(wave) for wave in waves])
        return cls(centroids, spectra, fit_decoder(spectra[codes], fine, seed))


def nearest(points: Tensor, centroids: Tensor) -> Tensor:
    """Index (N,) of the centroid nearest to each point, in blocks that bound the memory."""
    return torch.cat([torch.cdist(part, centroids).argmin(1) for part in points.split(4096)])


def fit_decoder(spectra: Tensor, fine: Tensor, seed: int) -> ContextDecoder:
    """Fit on spans of the codes' spectra (T, 80) and the true fine magnitudes (T, 2 * 513)."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        decoder = ContextDecoder()
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=_STEPS)
    span = min(_SPAN, len(fine) - 1)
    for _ in track(range(_STEPS), description="fitting the codec's decoder"):
        starts = torch.randint(0, len(fine) - span, (_BATCH, 1), generator=generator)
        rows = starts + torch.arange(span)
        predicted = decoder(spectra[rows].transpose(1, 2)).transpose(1, 2)
        loss = (predicted - fine[rows]).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return decoder
