"""How well a model speaks: generate, decode, listen with a recogniser, and measure."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import orjson

from voxtwist import params
from voxtwist.codec.audio import write_audio
from voxtwist.codec.base import SpeechCodec, decode_all
from voxtwist.codec.files import write_speech_tokens
from voxtwist.device import best_device
from voxtwist.evaluation.held_out import trained_hashes
from voxtwist.evaluation.speech.figures import summarise_speech
from voxtwist.evaluation.speech.judges import Judges
from voxtwist.evaluation.speech.leak import Leak, measure_leak
from voxtwist.evaluation.speech.questions import HELD_OUT, TAUGHT, Reference, choose_questions
from voxtwist.evaluation.speech.utterance import Utterance, measure
from voxtwist.evaluation.statistics import Estimate
from voxtwist.vocabulary import SpeechVocabulary, Spoken, split_turns

SAMPLES = "samples.jsonl"
SPEECH_SETTINGS = "settings.json"  # with which the model spoke: {"codec": …, "generate": …}
REAL_TIME_FACTOR = "real_time_factor"


def evaluate_speech(
    checkpoint: Path,
    train: Path,
    held_out: Path,
    codec: SpeechCodec,
    judges: Judges,
    generation: params.Generate,
    settings: params.EvaluateSpeech,
    seed: int,
    output: Path,
) -> dict[str, Estimate]:
    """Let a model answer held-out and taught questions of every corpus part, and judge its speech.

    Writes into `output`: samples.jsonl (one `Utterance` a line), tokens.jsonl (the generated
    codes of the answers that have any, for `voxtwist speak`), and one FLAC for each of those.

    Args:
        checkpoint: is read here even where `generation.server` answers: leaked mass needs logits.
        train, held_out: SFT JSONL files with their tables of rows; a held-out question that is
            also in `train` is not asked.
        seed: of the draw of questions and of the generation.

    Returns:
        Figures by names such as "heldout/numbers/wer"; and "real_time_factor", seconds of
        generating and decoding for one second of speech, measured once.

    Raises:
        VoxtwistError: a missing file, no held-out question that was not trained on, or see
            `Server`.
    """
    from voxtwist.inference.generate import generate
    from voxtwist.inference.legal_tokens import longest_speech
    from voxtwist.inference.server import Server
    from voxtwist.model.base import load_model, load_tokenizer

    tokenizer = load_tokenizer(checkpoint)
    vocabulary = SpeechVocabulary.from_tokenizer(tokenizer)
    new = choose_questions(
        held_out, HELD_OUT, vocabulary, settings.samples, seed, trained_hashes(train)
    )
    references = [*new, *choose_questions(train, TAUGHT, vocabulary, settings.taught, seed)]
    model = load_model(checkpoint, device=best_device())
    server = generation.server
    speaks = Server.connect(server, checkpoint) if server else model
    started = time.perf_counter()
    questions = [split_turns(reference.question) for reference in references]
    answers = generate(speaks, tokenizer, questions, generation, codec.frame_rate_hz, seed)
    waveforms = decode_all(codec, [answer.codes for answer in answers])
    elapsed = time.perf_counter() - started
    texts = [answer.text.strip() for answer in answers]
    leaks = measure_leak(model, tokenizer, questions, texts, generation.batch_size)
    del model  # the judges may need its memory
    longest = longest_speech(generation, codec.frame_rate_hz)
    utterances = judge(references, answers, leaks, waveforms, codec, judges, longest)
    write_samples(output, utterances, answers, waveforms, codec)
    figures = summarise_speech(utterances, settings.bootstrap)
    spoken = sum(utterance.seconds for utterance in utterances)
    if spoken:
        factor = elapsed / spoken
        figures[REAL_TIME_FACTOR] = Estimate(factor, factor, factor, 1)
    return figures


def judge(
    references: Sequence[Reference],
    answers: Sequence[Spoken],
    leaks: Sequence[Leak],
    waveforms: Sequence[np.ndarray],
    codec: SpeechCodec,
    judges: Judges,
    longest: int,
) -> list[Utterance]:
    """Listen to the answers, and to the references' own speech through the same codec.

    Args:
        waveforms: the answers decoded, as by `decode_all`.
        longest: see `measure`.
    """
    n = len(references)
    reference_waveforms = decode_all(codec, [reference.codes for reference in references])
    heard = judges.listen([*waveforms, *reference_waveforms], codec.sample_rate)
    numbers: dict[str, int] = {}
    utterances = []
    for i, (reference, answer) in enumerate(zip(references, answers, strict=True)):
        group = f"{reference.group}-{reference.part}"
        numbers[group] = numbers.get(group, 0) + 1
        prompt = judges.prompt_voice
        utterances.append(
            measure(
                f"{group}-{numbers[group]:02d}",
                reference,
                answer,
                leaks[i],
                heard[i],
                heard[n + i],
                voice=heard[n + i].voice if prompt is None else prompt,
                longest=longest,
                frame_rate_hz=codec.frame_rate_hz,
            )
        )
    return utterances


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
    """metrics/speech.json: the figures by name, and below "intervals" [low, high, n] of each.

    The real-time factor is measured once, and has none.
    """
    measured = {name: e for name, e in figures.items() if name != REAL_TIME_FACTOR}
    return {
        **{name: estimate.value for name, estimate in figures.items()},
        "intervals": {name: [e.low, e.high, e.n] for name, e in measured.items()},
    }
