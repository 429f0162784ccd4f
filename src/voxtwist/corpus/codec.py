"""The codec of the embedded corpus, fitted on its voice."""

import random
from pathlib import Path

import numpy as np
from rich.progress import track

from voxtwist.codec.phones import PhoneCodec
from voxtwist.codec.phones.fit import Effort, Utterance, fit
from voxtwist.corpus.everyday import unanswered_sentences
from voxtwist.corpus.numbers import numbers
from voxtwist.corpus.talk import talk
from voxtwist.corpus.voice import SAMPLE_RATE, speak, speak_labelled
from voxtwist.params import Corpus

# Of the numbers there are some 1,700 answers in all: most are left to the corpus.
_NUMBERS, _TALK = 300, 1100


def fit_codec(settings: Corpus, n_codes: int, seed: int, folder: Path) -> PhoneCodec:
    """Fit the codec of phones on `codec_minutes` of sentences that nobody answers, and save it."""
    sentences = codec_sentences(seed)[settings.round_trip_sentences :]
    wanted = settings.codec_minutes * 60 * SAMPLE_RATE
    utterances: list[Utterance] = []
    samples = 0
    for utterance in speak_labelled(track(sentences, description="speaking for the codec")):
        utterances.append(utterance)
        samples += len(utterance.waveform)
        if samples >= wanted:
            break
    codec = fit(utterances, n_codes, seed, Effort.for_speech(samples / SAMPLE_RATE))
    codec.save(folder)
    return codec


def round_trip_speech(settings: Corpus, seed: int) -> tuple[list[str], list[np.ndarray]]:
    """Sentences that the codec was not fitted on, and their speech at the voice's rate."""
    sentences = codec_sentences(seed)[: settings.round_trip_sentences]
    return sentences, list(speak(sentences))


def codec_sentences(seed: int) -> list[str]:
    """Sentences of all corpus parts, shuffled; the first ones are for the round trip.

    None is an answer of the corpus: it leaves out the `codec_answers`, and what it takes as
    everyday answers is not among these. So no held-out answer has shaped the codec.
    """
    sentences = [*unanswered_sentences(), *sorted(codec_answers(seed))]
    random.Random(seed).shuffle(sentences)
    return sentences


def codec_answers(seed: int) -> set[str]:
    """Generated sentences that the codec is fitted on, and that the corpus must not hold."""
    parts = (numbers(_NUMBERS, seed + 1), talk(_TALK, seed + 1))
    return {answer for part in parts for _, answer in part}
