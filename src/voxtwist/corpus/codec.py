"""The codec of the embedded corpus: fitted on its voice, and how much of the words it keeps."""

import random
from pathlib import Path

import numpy as np
from rich.progress import track

from voxtwist.codec.audio import write_audio
from voxtwist.codec.kmeans import KMeansCodec
from voxtwist.corpus.everyday import clean_sentences
from voxtwist.corpus.numbers import numbers
from voxtwist.corpus.voice import SAMPLE_RATE, speak
from voxtwist.evaluation.speech.asr import load_transcriber
from voxtwist.evaluation.speech.wer import error_rate, word_errors
from voxtwist.params import Corpus

_FLACS = 4  # of the round trip, kept to check by ear


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


def measure_round_trip(
    codec: KMeansCodec, settings: Corpus, seed: int, samples: Path
) -> dict[str, float]:
    """WER of sentences the codec was not fitted on, as spoken and after encoding and decoding.

    The second is the ceiling of every WER that a model trained on these codes can reach. Some
    FLACs of it are written into `samples`.
    """
    sentences = codec_sentences(seed)[: settings.round_trip_sentences]
    spoken = list(speak(sentences))
    decoded = [codec.decode(codec.encode(wave, SAMPLE_RATE)) for wave in spoken]
    samples.mkdir(parents=True, exist_ok=True)
    for number, wave in enumerate(decoded[:_FLACS]):
        write_audio(samples / f"round_trip_{number}.flac", wave, codec.sample_rate)
    metrics: dict[str, float] = {"sentences": len(sentences)}
    transcriber = load_transcriber("moonshine")
    for name, waves in (("voice", spoken), ("codec", decoded)):
        heard = transcriber.transcribe(waves, SAMPLE_RATE)
        errors = list(map(word_errors, sentences, heard))
        metrics[f"{name}/wer"] = error_rate(errors)
    return metrics


def codec_sentences(seed: int) -> list[str]:
    """Sentences of both corpus parts, shuffled; the first ones are for the round trip."""
    sentences = [*clean_sentences(), *(answer for _, answer in numbers(800, seed + 1))]
    random.Random(seed).shuffle(sentences)
    return sentences
