"""A small corpus in the pipeline's own files, and references whose speech a person can check."""

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import PreTrainedTokenizerFast

from voxtwist.corpus.voice import SAMPLE_RATE, speak
from voxtwist.data.files import rows_path
from voxtwist.data.jsonl import sample_line
from voxtwist.vocabulary import ChatFormat, extend_tokenizer

WORDS = ("seven", "plus", "is", "fifteen", "eight", "monday", "tuesday", "after", "comes", "the")


class WordCodec:
    """A codec that a person can check: code i is the word i, spoken by the embedded voice."""

    name = "words"
    sample_rate = SAMPLE_RATE
    frame_rate_hz = 50
    vocab_size = len(WORDS)

    def encode(self, waveform: np.ndarray, rate: int) -> np.ndarray:
        raise NotImplementedError

    def decode(self, codes: np.ndarray) -> np.ndarray:
        return spoken(" ".join(WORDS[code] for code in codes))

    def decode_many(self, utterances: Sequence[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
        return enumerate(map(self.decode, utterances))

    @staticmethod
    def codes(text: str) -> np.ndarray:
        return np.array([WORDS.index(word) for word in text.split()], dtype=np.int64)


@cache
def spoken(text: str) -> np.ndarray:
    return next(speak([text], threads=1))


@pytest.fixture(scope="session")
def word_codec() -> WordCodec:
    return WordCodec()


@pytest.fixture(scope="session")
def speech_tokenizer(smollm2_tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    return extend_tokenizer(smollm2_tokenizer, len(WORDS), "v1.1")


@pytest.fixture
def split(tmp_path: Path, speech_tokenizer: PreTrainedTokenizerFast) -> Path:
    """Twelve rows of two parts, with different answers."""
    questions = [f"Question {i}?" for i in range(12)]
    answers = [f"{first} comes after {second}" for first in WORDS[:4] for second in WORDS[4:7]]
    codes = [WordCodec.codes(answer) for answer in answers]
    samples = ChatFormat.from_tokenizer(speech_tokenizer).encode_batch(questions, answers, codes)
    path = tmp_path / "eval.jsonl"
    path.write_bytes(b"".join(sample_line(sample) for sample in samples))
    index = [f"{'numbers' if i % 2 else 'everyday'}-{i:05d}" for i in range(12)]
    table = {"index": index, "question": questions, "answer": answers}
    pq.write_table(pa.table(table), rows_path(path))
    return path
