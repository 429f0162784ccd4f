"""Small raw shards, and a conversion of them with SmolLM2's tokenizer."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from voxtwist.data.part import ConvertSettings
from voxtwist.data.raw import RAW_SCHEMA, SPEECH_COLUMN
from voxtwist.vocabulary import ChatFormat, extend_tokenizer

N_CODES = 64


@pytest.fixture(scope="session")
def tokenizer(smollm2_tokenizer):
    return extend_tokenizer(smollm2_tokenizer, N_CODES, "v1.1")


@pytest.fixture(scope="session")
def chat(tokenizer):
    return ChatFormat.from_tokenizer(tokenizer)


@pytest.fixture(scope="session")
def settings(chat):
    return ConvertSettings(chat, 50)


@pytest.fixture
def raw_rows():
    """Function: n rows of good data, with every field different from row to row."""

    def make(n, start=0):
        rng = np.random.default_rng(start)
        return [
            {
                "split_name": "train",
                "index": f"numbers-{i:05d}",
                "round": 1,
                "question": f"<USER>: What is {i} plus {i}?",
                "answer": f"{i} plus {i} makes {2 * i}.",
                SPEECH_COLUMN: rng.integers(0, N_CODES, 60 + i % 7).tolist(),
            }
            for i in range(start, start + n)
        ]

    return make


@pytest.fixture
def write_shard():
    def write(path, rows, schema=RAW_SCHEMA, **options):
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows, schema), path, **options)
        return path

    return write


@pytest.fixture
def raw_folder(tmp_path, raw_rows, write_shard):
    """Four shards of 5, 1, 7 and 3 rows."""
    start = 0
    for number, rows in enumerate((5, 1, 7, 3)):
        name = f"train-{number:05d}-of-00004.parquet"
        write_shard(tmp_path / "raw" / name, raw_rows(rows, start), row_group_size=2)
        start += rows
    return tmp_path / "raw"
