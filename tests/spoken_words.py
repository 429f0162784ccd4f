"""A small corpus in the pipeline's own files, and references whose speech a person can check."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

import lm_eval.tasks
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from voxtwist.corpus.voice import SAMPLE_RATE, speak
from voxtwist.data.files import rows_path
from voxtwist.data.jsonl import sample_line
from voxtwist.vocabulary import ChatFormat, extend_tokenizer

_REDUX = Path(lm_eval.tasks.__file__).parent / "mmlu-redux" / "generative"
SUBJECTS = sorted(path.stem.removeprefix("mmlu_") for path in _REDUX.glob("mmlu_*.yaml"))

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
    part = ["numbers" if i % 2 else "everyday" for i in range(12)]
    index = [f"{name}-{i:05d}" for i, name in enumerate(part)]
    table = {"index": index, "question": questions, "answer": answers, "part": part}
    pq.write_table(pa.table(table), rows_path(path))
    return path


@pytest.fixture(scope="session")
def scripted(
    tmp_path_factory: pytest.TempPathFactory, speech_tokenizer: PreTrainedTokenizerFast
) -> Callable[[str], Path]:
    """Makes checkpoints that give the same written answer whatever they are asked."""

    @cache
    def make(answer: str) -> Path:
        chat = ChatFormat.from_tokenizer(speech_tokenizer)
        prompt = chat.prompt_ids("Q?")
        (sample,) = chat.encode_batch(["Q?"], [answer], [np.arange(3)])
        script = sample.input_ids[len(prompt) - 1 :].tolist()
        assert len(set(script)) == len(script), "the model only sees the last token"
        # Without layers in between, each token's embedding asks for the next one in the head.
        config = LlamaConfig(
            vocab_size=len(speech_tokenizer), hidden_size=len(script), intermediate_size=8,
            num_hidden_layers=1, num_attention_heads=1, tie_word_embeddings=False,
            eos_token_id=speech_tokenizer.eos_token_id,
        )  # fmt: skip
        model = LlamaForCausalLM(config)
        with torch.no_grad():
            layer = model.model.layers[0]
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
            table, head = model.model.embed_tokens.weight, model.lm_head.weight
            table.normal_(std=1e-3)
            head.normal_(std=1e-3)
            for place, (token, following) in enumerate(pairwise(script)):
                table[token] = torch.nn.functional.one_hot(torch.tensor(place), len(script))
                head[following, place] = 20.0
        folder = tmp_path_factory.mktemp("scripted")
        model.save_pretrained(folder)
        speech_tokenizer.save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def redux(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a local copy of MMLU-Redux as the hub has it, three questions a subject.

    The right answers are A, B, C in each subject.
    """
    datasets = tmp_path_factory.mktemp("datasets")
    folder = datasets / "fxmarty" / "mmlu-redux-2.0-ok"
    card = ["---", "configs:"]
    for subject in SUBJECTS:
        rows = [
            {"question": f"{subject} {i}?", "choices": ["w", "x", "y", "z"], "answer": i}
            for i in range(3)
        ]
        (folder / subject).mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(rows), folder / subject / "test-00000-of-00001.parquet")
        card += [f"- config_name: {subject}", "  data_files:"]
        card += ["  - split: test", f"    path: {subject}/test-*"]
    (folder / "README.md").write_text("\n".join([*card, "---", ""]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
        yield datasets
