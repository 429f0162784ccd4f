"""The codec of the embedded corpus, fitted on its voice."""

import random
from pathlib import Path

import numpy as np
from rich.progress import track

from voxtwist.codec.kmeans import KMeansCodec
from voxtwist.corpus.everyday import clean_sentences
from voxtwist.corpus.numbers import numbers
from voxtwist.corpus.voice import SAMPLE_RATE, speak
from voxtwist.params import Corpus


def fit_codec(settings: Corpus, n_codes: int, seed: int, folder: Path) -> KMeansCodec:
    """Fit the k-means codec on `codec_minutes` of everyday and numbers sentences, and save it."""
    sentences = codec_sentences(seed)[settings.round_trip_sentences :]
    wanted = settings.codec_minutes * 60 * SAMPLE_RATE
    waves: list[np.ndarray] = []
    samples = 0
    for wave in speak(track(sentences, description="speaking for the codec")):
        waves.append(wave)
        samples += len(wave)
        if samples >= wanted:
            break
    codec = KMeansCodec.fit(waves, n_codes, seed)
    codec.save(folder)
    return codec


def round_trip_speech(settings: Corpus, seed: int) -> tuple[list[str], list[np.ndarray]]:
    """Sentences that the codec was not fitted on, and their speech at the voice's rate."""
    sentences = codec_sentences(seed)[: settings.round_trip_sentences]
    return sentences, list(speak(sentences))


def codec_sentences(seed: int) -> list[str]:
    """Sentences of both corpus parts, shuffled; the first ones are for the round trip."""
    sentences = [*clean_sentences(), *(answer for _, answer in numbers(800, seed + 1))]
    random.Random(seed).shuffle(sentences)
    return sentences
