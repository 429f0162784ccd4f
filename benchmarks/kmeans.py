"""How fast the k-means codec decodes, one by one and in padded batches; Markdown on stdout.

    python benchmarks/kmeans.py [--quick]

The weights are random: the work is that of a fitted codec. One thread, in turns.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
import torchaudio

from voxtwist.codec import spectrogram
from voxtwist.codec.kmeans import ContextDecoder, KMeansCodec

N_CODES = 2048
BATCH = 16


def padded(codec: KMeansCodec, utterances: list[np.ndarray]) -> list[np.ndarray]:
    """The plain way with a batch: all padded to the longest, one Griffin-Lim for all of them."""
    longest = max(map(len, utterances))
    spectra = torch.zeros(len(utterances), spectrogram.MELS, longest)
    for row, codes in zip(spectra, utterances, strict=True):
        row[:, : len(codes)] = codec.spectra[torch.from_numpy(codes)].T
    with torch.inference_mode():
        fine = codec.decoder(spectra).transpose(1, 2).clamp(min=0)
        magnitudes = fine.reshape(len(utterances), -1, spectrogram.BINS).transpose(1, 2)
        waves = torchaudio.functional.griffinlim(
            magnitudes.pow(1 / spectrogram.POWER), torch.hann_window(spectrogram.WINDOW),
            spectrogram.WINDOW, spectrogram.HOP // spectrogram.FINE, spectrogram.WINDOW, power=1.0,
            n_iter=16, momentum=0.99, length=None, rand_init=False,
        )  # fmt: skip
    return [
        wave[: len(codes) * spectrogram.HOP].numpy()
        for wave, codes in zip(waves, utterances, strict=True)
    ]


def transforms_alone(utterances: list[np.ndarray]) -> None:
    """The Fourier transforms that Griffin-Lim cannot do without: there and back, 16 times."""
    window = torch.hann_window(spectrogram.WINDOW)
    hop = spectrogram.HOP // spectrogram.FINE
    for codes in utterances:
        wave = torch.randn(len(codes) * spectrogram.HOP)
        for _ in range(16):
            spectrum = torch.stft(wave, spectrogram.WINDOW, hop, window=window, return_complex=True)
            torch.istft(spectrum, spectrogram.WINDOW, hop, window=window, length=len(wave))


def seconds(action: Callable[[], object]) -> float:
    start = time.process_time()
    action()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    rounds = 2 if parser.parse_args().quick else 7
    torch.set_num_threads(1)
    generator = np.random.default_rng(0)
    codec = KMeansCodec(
        torch.randn(N_CODES, spectrogram.CEPSTRA), torch.randn(N_CODES, spectrogram.MELS),
        ContextDecoder(),
    )  # fmt: skip
    utterances = [generator.integers(0, N_CODES, generator.integers(40, 250)) for _ in range(BATCH)]
    audio = sum(map(len, utterances)) / codec.frame_rate_hz
    ways: dict[str, Callable[[], object]] = {
        "one by one (`decode_many`)": lambda: list(codec.decode_many(utterances)),
        f"padded batch of {BATCH}": lambda: padded(codec, utterances),
        "Fourier transforms alone": lambda: transforms_alone(utterances),
    }
    for action in ways.values():
        action()
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, action in ways.items():
            times[name].append(seconds(action))
    print("## k-means codec: decoding\n")
    print(f"{BATCH} utterances, {audio:.0f} s of audio, one thread, median of {rounds}.\n")
    print("| | CPU-seconds a second of audio | against one by one |\n|---|---|---|")
    first = statistics.median(next(iter(times.values())))
    for name, measured in times.items():
        median = statistics.median(measured)
        print(f"| {name} | {median / audio:.4f} | {median / first:.2f} |")
    print()


if __name__ == "__main__":
    main()
