"""The embedded voice: PyPI's `hibari-tts`, 24 kHz, the same text always giving the same samples."""

import unicodedata
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

import numpy as np

from voxtwist.codec.phones.encoder import PHONE_RATE_HZ
from voxtwist.codec.phones.fit import Utterance
from voxtwist.codec.phones.world import WORLD_RATE_HZ

SAMPLE_RATE = 24_000
SPEED = 1.2  # a lively pace: fewer codes to learn for the same words
_MARGIN = int(0.06 * SAMPLE_RATE)  # silence kept on either side of the speech
_SILENCE = 0.01  # of full scale
_UNIT = 0.025  # seconds of one unit of duration
_PITCH_RATE_HZ = 80
_VOICED = 40.0  # Hz: below it the voice itself is silent
_PAUSE = "_"
_STRESS = "ˈˌ"


class Voice:
    """Speaks texts, and says which phone sounds when."""

    @cached_property
    def _hibari(self) -> Any:
        from hibari import Hibari

        return Hibari()

    @cached_property
    def _session(self) -> Any:
        """The voice's own graph, asked for the durations of its phonemes too."""
        import onnx
        import onnxruntime

        graph = onnx.load(self._hibari.model_path)
        nodes = graph.graph.node
        rounded = {name for node in nodes if node.op_type == "Round" for name in node.output}
        [durations] = [
            node.output[0] for node in nodes if node.op_type == "Clip" and rounded & {*node.input}
        ]
        graph.graph.output.append(onnx.helper.make_empty_tensor_value_info(durations))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(
            graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def speak(self, text: str) -> np.ndarray:
        """Mono float32 waveform (N,) in [-1, 1] at 24 kHz, without pauses around it."""
        waveform = self._hibari(text, speed=SPEED, seed=0)
        start, end = spoken(waveform)
        return waveform[start:end].astype(np.float32)

    def speak_labelled(self, text: str) -> Utterance:
        """As `speak`, of the text's first sentence, with its phones and its pitch."""
        from hibari import dsp

        phonemes = self._hibari.phonemize(text)[0]
        ids = self._hibari.ids(phonemes)
        *spectra, f0, durations = self._session.run(
            None,
            {"ids": np.array([ids], np.int64), "speed": np.array([SPEED], np.float32)},
        )
        waveform = dsp.synth(*(part[0] for part in spectra), f0[0], np.random.default_rng(0))
        start, end = spoken(waveform)
        known = [symbol for symbol in phonemes if symbol in self._hibari.vocab]
        names, lengths = phones_of(["", *known, ""], durations.ravel().astype(int))
        waveform = waveform[start:end].astype(np.float32)
        seconds, offset = len(waveform) / SAMPLE_RATE, start / SAMPLE_RATE
        slots = np.arange(round(len(waveform) * PHONE_RATE_HZ / SAMPLE_RATE))
        middles = (slots + 0.5) / PHONE_RATE_HZ + offset
        sounding = np.searchsorted(np.cumsum(lengths) * _UNIT, middles).clip(max=len(names) - 1)
        frames = np.arange(1 + int(seconds * WORLD_RATE_HZ)) / WORLD_RATE_HZ + offset
        return Utterance(
            waveform=waveform,
            phones=[names[i] for i in sounding],
            f0=resample_pitch(f0[0], frames * _PITCH_RATE_HZ),
        )


def resample_pitch(f0: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The voice's pitch in Hz (M,) at fractional places (N,): 0 where the nearest has no voice,
    between voiced neighbours a straight line."""
    nearest = np.round(places).astype(int).clip(max=len(f0) - 1)
    voiced = np.flatnonzero(f0 > _VOICED)
    if not len(voiced):
        return np.zeros(len(places))
    return np.where(f0[nearest] > _VOICED, np.interp(places, voiced, f0[voiced]), 0.0)


def phones_of(symbols: list[str], durations: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Phones and their durations out of the voice's symbols.

    Punctuation is a pause; the time of a stress mark is that of the vowel behind it.
    """
    names: list[str] = []
    lengths: list[int] = []
    carried = 0
    for symbol, duration in zip(symbols, durations, strict=True):
        if symbol and symbol in _STRESS:
            carried += duration
            continue
        pause = not symbol or unicodedata.category(symbol).startswith("P")
        names.append(_PAUSE if pause else symbol)
        lengths.append(carried + duration)
        carried = 0
    return names, np.array(lengths)


def speak(texts: Iterable[str], threads: int = 2) -> Iterator[np.ndarray]:
    """Mono float32 waveforms in [-1, 1] at 24 kHz, one a text, without pauses around it."""
    voice = Voice()
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(voice.speak, texts)


def speak_labelled(texts: Iterable[str], threads: int = 2) -> Iterator[Utterance]:
    """As `speak`, with the phones that sound, for the fit of a codec."""
    voice = Voice()
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(voice.speak_labelled, texts)


def spoken(waveform: np.ndarray) -> tuple[int, int]:
    """First and last sample of the speech, with 60 ms of the silence around it."""
    loud = np.flatnonzero(np.abs(waveform) > _SILENCE)
    if not len(loud):
        return 0, len(waveform)
    return max(loud[0] - _MARGIN, 0), min(loud[-1] + _MARGIN, len(waveform))
