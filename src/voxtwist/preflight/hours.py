"""How long each stage will take here, from a short probe of this machine on the real inputs."""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from voxtwist.device import best_device
from voxtwist.errors import VoxtwistError
from voxtwist.inference.generate import longest_answer
from voxtwist.model.size import ModelSize
from voxtwist.params import Params
from voxtwist.preflight.estimate import SampleShape, memory, voice_assistant
from voxtwist.preflight.model_size import extended_model
from voxtwist.preflight.probe import measure_training

_PROBE_ROWS = 512  # of the first shard
_DECODED = 16  # tokens that a probe generates
_LM_EVAL_LONGEST = 256  # tokens that lm-eval generates where a task does not say
_CHOICES, _CHARACTERS = 4, 4  # of a question; of a token of English


@dataclass(frozen=True)
class Stage:
    """A stage's estimated hours, and what they were worked out from; None: it cannot be told."""

    name: str
    hours: float | None
    basis: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class RawSample:
    """The first rows of the data, converted: their average shape, and how fast that went."""

    rows: int
    data: SampleShape
    rows_per_second: float


def sample_raw(params: Params) -> RawSample | None:
    """Convert some rows of the first shard with the base model's tokenizer; None without either.

    Tokens are of the data's real average; the number of samples is that of all shards, less what
    is held out.
    """
    import pyarrow.parquet as pq

    from voxtwist.data.part import ConvertSettings, convert_batch
    from voxtwist.data.raw import find_shards, read_batches
    from voxtwist.vocabulary import IGNORED_LABEL, ChatFormat, load_extended_tokenizer

    base, codes, fmt = params.base.model, params.codec.n_codes, params.data.format
    try:
        shards = find_shards(params.data.raw)
        tokenizer = load_extended_tokenizer(base, codes, fmt, params.base.revision)
        chat = ChatFormat.from_tokenizer(tokenizer)
        settings = ConvertSettings(chat, params.codec.frame_rate_hz, params.data.max_length)
        started, samples, rows = time.perf_counter(), [], 0
        for batch in read_batches(shards[0], _PROBE_ROWS):
            rows += len(batch)
            samples += convert_batch(batch, settings)[1]
        seconds = time.perf_counter() - started
    except VoxtwistError:
        return None
    if not samples:
        return None
    first_code = chat.vocabulary.code_offset
    prompt = sum(int((s.labels == IGNORED_LABEL).sum()) for s in samples) / len(samples)
    speech = sum(int((s.input_ids >= first_code).sum()) for s in samples) / len(samples)
    tokens = sum(len(s.input_ids) for s in samples) / len(samples)
    all_rows = sum(pq.ParquetFile(shard).metadata.num_rows for shard in shards)
    trained = round(all_rows * len(samples) / rows * (1 - params.data.eval_ratio))
    return RawSample(
        all_rows, SampleShape(trained, prompt, tokens - prompt - speech, speech), rows / seconds
    )


def stages(
    params: Params, raw: RawSample | None, probe_seconds: float, devices: int
) -> Iterator[Stage]:
    """Convert, train and evaluate, after about `probe_seconds` of training and generating."""
    data = raw.data if raw else voice_assistant(params.codec.frame_rate_hz)
    if raw:
        hours = raw.rows / raw.rows_per_second / params.data.workers / 3600
        yield Stage("convert", hours, f"{raw.rows_per_second:,.0f} rows/s per worker")
    else:
        yield Stage("convert", None, "needs the raw data and the base model's tokenizer")
    speed = measure_training(params, data, 0.7 * probe_seconds)
    tokens = data.samples * data.tokens * params.train.epochs
    if params.train.max_steps:
        step = params.train.step_tokens or params.train.batch_tokens
        tokens = min(tokens, params.train.max_steps * step)
    hours = tokens / speed.tokens_per_second / devices / 3600
    yield Stage("train", hours, f"{speed.tokens_per_second:,.0f} tokens/s per device")
    each = decode_seconds(params, 0.3 * probe_seconds)
    yield Stage(
        "evaluate_text, three models",
        text_hours(params, speed.tokens_per_second, each),
        "a third of training's work per token read; generated answers of the longest",
    )
    settings = params.evaluate_speech
    answers = settings.samples + settings.taught
    rows_at_once = params.generate.batch_size
    batches = -(-answers // rows_at_once)
    hours = batches * longest_answer(params.generate, params.codec.frame_rate_hz) * each / 3600
    basis = f"{answers} of the longest answers, {1000 * each:.0f} ms per token of {rows_at_once}"
    yield Stage("evaluate_speech", hours, f"{basis}; without decoding and recognising")


def text_hours(params: Params, trained_per_second: float, token_seconds: float) -> float | None:
    """Base, twist and sft through all suites; None without the suites' data."""
    from voxtwist.evaluation.text.suites import load_suites

    settings = params.evaluate_text
    try:
        suites = load_suites(
            settings.suites, Path(settings.datasets) if settings.datasets else None
        )
    except VoxtwistError:
        return None
    seconds = 0.0
    for task in (task for suite in suites for task in suite.tasks):
        docs = list(task.eval_docs)[: settings.limit]
        if task.OUTPUT_TYPE == "generate_until":
            batches = -(-len(docs) // settings.batch_size)
            seconds += batches * _LM_EVAL_LONGEST * token_seconds
        else:  # every choice is read after the prompt
            prompts = sum(len(str(task.doc_to_text(doc))) for doc in docs) / _CHARACTERS
            seconds += _CHOICES * prompts / (3 * trained_per_second)
    return 3 * seconds / 3600


def decode_seconds(params: Params, seconds: float) -> float:
    """Seconds of one generated token of a batch, by the real model's shape."""
    model = extended_model(params, best_device()).eval()
    rows = params.generate.batch_size
    ids = torch.zeros((rows, 32), dtype=torch.long, device=best_device())
    options: dict[str, Any] = {
        "max_new_tokens": _DECODED, "min_new_tokens": _DECODED, "do_sample": False,
        "pad_token_id": 0, "attention_mask": torch.ones_like(ids),
    }  # fmt: skip
    times: list[float] = []
    end = time.perf_counter() + seconds
    with torch.inference_mode():
        while len(times) < 2 or time.perf_counter() < end:
            started = time.perf_counter()
            model.generate(ids, **options)
            times.append((time.perf_counter() - started) / _DECODED)
    return min(times)


def disk_gb(params: Params, size: ModelSize, data: SampleShape) -> dict[str, float]:
    """10^9 bytes that a run writes. DVC keeps a copy of each output where links do not work."""
    every_sample = data.samples / (1 - params.data.eval_ratio)
    line = 17  # bytes of a token: its id, its label, its mask, commas
    checkpoint = 4 * size.weights
    parts = {
        "data/sft and data/splits, twice": 2 * 2 * every_sample * data.tokens * line,
        "four checkpoints, twice": 2 * 4 * checkpoint,
        "state of an interrupted training": 2 * checkpoint + 8 * size.learning,
    }
    return {name: value / 1e9 for name, value in parts.items()}


def needed_memory_gb(params: Params, size: ModelSize) -> float:
    return sum(memory(size, params.train).values())


def free_disk_gb(folder: Path) -> float:
    import shutil

    return shutil.disk_usage(folder).free / 1e9
