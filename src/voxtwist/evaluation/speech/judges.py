"""Everything that listens to speech, loaded once, each over all waveforms at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from voxtwist.codec.audio import read_audio
from voxtwist.evaluation.speech.asr import Transcriber, load_transcriber
from voxtwist.evaluation.speech.mos import Dnsmos, Scores
from voxtwist.evaluation.speech.utmos import Utmos
from voxtwist.evaluation.speech.voice import VoiceEmbedder
from voxtwist.params import EvaluateSpeech

T = TypeVar("T")


@dataclass(frozen=True)
class Heard:
    """What the judges say of one waveform; None without sound, or without that judge.

    Attributes:
        transcript: empty without sound.
        mos: DNSMOS.
        voice: unit vector of the speaker, float32 (192,).
    """

    transcript: str
    mos: Scores | None
    utmos: float | None
    voice: np.ndarray | None


@dataclass(frozen=True)
class Judges:
    """The recogniser, and whichever others there are.

    Attributes:
        prompt_voice: the voice that answers should have; None takes that of the data's own speech.
    """

    transcriber: Transcriber
    dnsmos: Dnsmos | None = None
    utmos: Utmos | None = None
    voice: VoiceEmbedder | None = None
    prompt_voice: np.ndarray | None = None

    @classmethod
    def load(cls, settings: EvaluateSpeech, prompt_audio: str | None) -> "Judges":
        """Load those that the settings name.

        Args:
            prompt_audio: the recording whose voice the codec speaks in, where it is one.

        Raises:
            VoxtwistError: a package, a model or a recording is missing.
        """
        voice = VoiceEmbedder(Path(settings.voice)) if settings.voice else None
        prompt_voice = None
        if voice and prompt_audio:
            waveform, rate = read_audio(Path(prompt_audio))
            (prompt_voice,) = voice.embed([waveform], rate)
        return cls(
            load_transcriber(settings.asr),
            Dnsmos() if settings.mos == "dnsmos" else None,
            Utmos(Path(settings.utmos)) if settings.utmos else None,
            voice,
            prompt_voice,
        )

    def listen(self, waveforms: Sequence[np.ndarray], rate: int) -> list[Heard]:
        """Mono float32 waveforms (N,) at `rate` Hz, of which some may be empty."""
        transcripts = self.transcriber.transcribe(waveforms, rate)
        mos = _audible(self.dnsmos.score if self.dnsmos else None, waveforms, rate)
        utmos = _audible(self.utmos.score if self.utmos else None, waveforms, rate)
        voices = _audible(self.voice.embed if self.voice else None, waveforms, rate)
        return [Heard(*all_) for all_ in zip(transcripts, mos, utmos, voices, strict=True)]


def _audible(
    judge: Callable[[Sequence[np.ndarray], int], Sequence[T | None]] | None,
    waveforms: Sequence[np.ndarray],
    rate: int,
) -> list[T | None]:
    """What a judge says of every waveform that is not empty."""
    said: list[T | None] = [None] * len(waveforms)
    if judge:
        audible = [i for i, waveform in enumerate(waveforms) if len(waveform)]
        for i, one in zip(audible, judge([waveforms[i] for i in audible], rate), strict=True):
            said[i] = one
    return said
