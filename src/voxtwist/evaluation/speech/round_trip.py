"""How much of the words a codec keeps: the limit of every WER that a model reaches on it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from voxtwist.codec.audio import write_audio
from voxtwist.codec.base import SpeechCodec
from voxtwist.evaluation.speech.asr import load_transcriber
from voxtwist.evaluation.speech.wer import error_rate, word_errors

_FLACS = 4  # kept to check by ear


def measure_round_trip(
    codec: SpeechCodec,
    sentences: Sequence[str],
    spoken: Sequence[np.ndarray],
    rate: int,
    samples: Path,
) -> dict[str, float]:
    """WER of sentences as spoken (`voice/wer`), and after encoding and decoding (`codec/wer`).

    Args:
        spoken: the sentences' speech, mono float32 (N,) at `rate` Hz.
        samples: folder for some FLACs of the decoded speech.
    """
    decoded = [codec.decode(codec.encode(wave, rate)) for wave in spoken]
    samples.mkdir(parents=True, exist_ok=True)
    for number, wave in enumerate(decoded[:_FLACS]):
        write_audio(samples / f"round_trip_{number}.flac", wave, codec.sample_rate)
    metrics: dict[str, float] = {"sentences": len(sentences)}
    transcriber = load_transcriber("moonshine")
    for name, waves, hertz in (("voice", spoken, rate), ("codec", decoded, codec.sample_rate)):
        errors = list(map(word_errors, sentences, transcriber.transcribe(waves, hertz)))
        metrics[f"{name}/wer"] = error_rate(errors)
    return metrics
