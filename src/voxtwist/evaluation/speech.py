"""How well a model speaks: generate, decode, listen with a recogniser, and measure."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import orjson
from tqdm import tqdm

from voxtwist import params
from voxtwist.codec.audio import write_audio
from voxtwist.codec.base import SpeechCodec
from voxtwist.codec.files import write_speech_tokens
from voxtwist.evaluation.asr import Transcriber
from voxtwist.evaluation.mos import Dnsmos, Scores
from voxtwist.evaluation.questions import HELD_OUT, TAUGHT, Reference, choose_questions
from voxtwist.evaluation.speech_metrics import summarise
from voxtwist.evaluation.statistics import Estimate
from voxtwist.evaluation.utterance import Utterance, measure
from voxtwist.vocabulary import SpeechVocabulary, Spoken

SAMPLES = "samples.jsonl"
ENDED_BY_LENGTH = "ended by length"  # of `parse_generated`


def evaluate_speech(
    checkpoint: Path,
    train: Path,
    held_out: Path,
    codec: SpeechCodec,
    transcriber: Transcriber,
    generation: params.Generate,
    settings: params.EvaluateSpeech,
    seed: int,
    output: Path,
) -> dict[str, Estimate]:
    """Let a model answer held-out and taught questions of every corpus part, and judge its speech.

    Writes into `output`: samples.jsonl (one `Utterance` a line), tokens.jsonl (the generated
    codes of the answers that have any, for `voxtwist speak`), and one FLAC for each of those.

    Args:
        train, held_out: SFT JSONL files with their tables of rows.
        seed: of the draw of questions and of the generation.

    Returns:
        Figures by names such as "heldout/numbers/wer"; and "real_time_factor", seconds of
        generating and decoding for one second of speech.

    Raises:
        VoxtwistError: a missing file or package.
    """
    from voxtwist.inference.generate import generate
    from voxtwist.model.base import load_model, load_tokenizer

    tokenizer = load_tokenizer(checkpoint)
    vocabulary = SpeechVocabulary.from_tokenizer(tokenizer)
    references = [
        *choose_questions(held_out, HELD_OUT, vocabulary, settings.samples, seed),
        *choose_questions(train, TAUGHT, vocabulary, settings.taught, seed),
    ]
    model = load_model(checkpoint)
    started = time.perf_counter()
    questions = [reference.question for reference in references]
    answers = generate(model, tokenizer, questions, generation, seed, progress=True)
    waveforms = decode(codec, [answer.codes for answer in answers])
    elapsed = time.perf_counter() - started
    longest = round(generation.max_speech_seconds * codec.frame_rate_hz)
    utterances = judge(references, answers, waveforms, codec, transcriber, settings.mos, longest)
    write_samples(output, utterances, answers, waveforms, codec)
    figures = summarise(utterances, settings.bootstrap)
    spoken = sum(utterance.seconds for utterance in utterances)
    if spoken:
        factor = elapsed / spoken
        figures["real_time_factor"] = Estimate(factor, factor, factor, len(utterances))
    return figures


def decode(codec: SpeechCodec, utterances: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Waveforms at the codec's rate; an answer without codes has an empty one."""
    return [
        codec.decode(codes) if len(codes) else np.zeros(0, np.float32)
        for codes in tqdm(utterances, "decoding", unit=" utterances", disable=None)
    ]


def judge(
    references: Sequence[Reference],
    answers: Sequence[Spoken],
    waveforms: Sequence[np.ndarray],
    codec: SpeechCodec,
    transcriber: Transcriber,
    mos: str,
    longest: int,
) -> list[Utterance]:
    """Listen to the answers, and to the references' own speech through the same codec.

    Args:
        waveforms: the answers decoded, as by `decode`.
        mos: "dnsmos" or "none".
        longest: codes that an answer may have; one that has as many ran away, even if the
            generation closed it in good form.
    """
    reference_waveforms = decode(codec, [reference.codes for reference in references])
    everything = [*waveforms, *reference_waveforms]
    transcripts = transcriber.transcribe(everything, codec.sample_rate)
    scores = (
        opinions(everything, codec.sample_rate) if mos == "dnsmos" else [None] * 2 * len(answers)
    )
    n = len(references)
    numbers: dict[str, int] = {}
    utterances = []
    for i, (reference, answer) in enumerate(zip(references, answers, strict=True)):
        group = f"{reference.group}-{reference.part}"
        numbers[group] = numbers.get(group, 0) + 1
        utterances.append(
            measure(
                f"{group}-{numbers[group]:02d}",
                reference,
                text=answer.text.strip(),
                codes=answer.codes,
                well_formed=answer.well_formed,
                problem=answer.problem,
                runaway=len(answer.codes) >= longest or answer.problem == ENDED_BY_LENGTH,
                transcript=transcripts[i],
                reference_transcript=transcripts[n + i],
                frame_rate_hz=codec.frame_rate_hz,
                mos=scores[i],
                reference_mos=scores[n + i],
            )
        )
    return utterances


def opinions(waveforms: Sequence[np.ndarray], rate: int) -> list[Scores | None]:
    """DNSMOS of every waveform that is not empty."""
    audible = [i for i, waveform in enumerate(waveforms) if len(waveform)]
    scores: list[Scores | None] = [None] * len(waveforms)
    for i, score in zip(
        audible, Dnsmos().score([waveforms[i] for i in audible], rate), strict=True
    ):
        scores[i] = score
    return scores


def write_samples(
    output: Path,
    utterances: Sequence[Utterance],
    answers: Sequence[Spoken],
    waveforms: Sequence[np.ndarray],
    codec: SpeechCodec,
) -> None:
    """See `evaluate_speech`."""
    output.mkdir(parents=True, exist_ok=True)
    rows = (orjson.dumps(utterance.as_row()) + b"\n" for utterance in utterances)
    (output / SAMPLES).write_bytes(b"".join(rows))
    spoken = [answer.codes for answer in answers if len(answer.codes)]
    write_speech_tokens(output / "tokens.jsonl", spoken, codec)
    for utterance, waveform in zip(utterances, waveforms, strict=True):
        if len(waveform):
            write_audio(output / f"{utterance.id}.flac", waveform, codec.sample_rate)


def as_metrics(figures: dict[str, Estimate]) -> dict[str, object]:
    """metrics/speech.json: the figures by name, and below "intervals" [low, high, n] of each."""
    return {
        **{name: estimate.value for name, estimate in figures.items()},
        "intervals": {name: [e.low, e.high, e.n] for name, e in figures.items()},
    }
