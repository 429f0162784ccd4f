"""How fast and how flat `voxtwist convert` is, against the plain way; a Markdown section on stdout.

    python benchmarks/convert.py [--quick]

Rows are like the real ones: questions of 8 to 20 words, answers of 40 to 60 words, 600 to 800
speech codes, 550 rows a shard. Every measurement is a process of its own.
"""

import argparse
import hashlib
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from voxtwist.data.convert import convert
from voxtwist.data.part import ConvertSettings
from voxtwist.data.raw import RAW_SCHEMA, SPEAKER_PREFIX, SPEECH_COLUMN, find_shards
from voxtwist.vocabulary import MODALITY_TOKENS, ChatFormat, extend_tokenizer, load_fast_tokenizer

QWEN3 = Path(__file__).parent.parent / ".cache" / "qwen3-tokenizer"  # from `make test-setup`
N_CODES = 4096
ROWS_PER_SHARD = 550
WORKERS = 2
WORDS = """
the of and to a in that is was for it with as his on be at by had not are but from or have an
they which one you were all her she there would their we him been has when who will no more if
out so up said what its about than into them can only other time new some could these two may
first then do any like my now over such our man me even most made after also did many off
before must well back through years much where your way down should because long each just
state those people too mister how little good world make very year still see own work men day
get here old life both between being under three never know same last another while great since
against right
"""


def make_rows(folder: Path, rows: int) -> None:
    rng = random.Random(0)
    codes = np.random.default_rng(0)
    folder.mkdir()
    for shard, start in enumerate(range(0, rows, ROWS_PER_SHARD)):
        numbers = range(start, min(start + ROWS_PER_SHARD, rows))
        columns = [
            ["train"] * len(numbers),
            [str(number) for number in numbers],
            [1] * len(numbers),
            [f"{SPEAKER_PREFIX}{sentence(rng, 8, 20)}?" for _ in numbers],
            [f"{sentence(rng, 20, 30)}, {sentence(rng, 20, 30)}." for _ in numbers],
            [codes.integers(0, N_CODES, codes.integers(600, 801)) for _ in numbers],
        ]
        table = pa.table(columns, schema=RAW_SCHEMA)
        pq.write_table(table, folder / f"train-{shard:05d}.parquet")


def sentence(rng: random.Random, shortest: int, longest: int) -> str:
    return " ".join(rng.choices(WORDS.split(), k=rng.randint(shortest, longest))).capitalize()


Encode = Callable[[str, str, list[int]], tuple[list[int], int]]
"""Question, answer and codes to ids and the number of masked ids."""


def through_template(tokenizer_path: str) -> Encode:
    """The plain way: marks and codes are part of the answer that the chat template is given."""
    tokenizer = extend_tokenizer(load_fast_tokenizer(tokenizer_path), N_CODES, "v1.1")
    template = bind_template(tokenizer)
    start = tokenizer.get_vocab()["<text>"]

    def encode(question: str, answer: str, codes: list[int]) -> tuple[list[int], int]:
        speech = "".join(f"<|s_{code}|>" for code in codes)
        content = f"<text>{answer}</text><speech>{speech}</speech>"
        ids = template(messages(question, content))[:-1]
        return ids, ids.index(start)

    return encode


def around_template(tokenizer_path: str) -> Encode:
    """A more careful plain way: only text is tokenized, marks and codes are put in as ids."""
    tokenizer = extend_tokenizer(load_fast_tokenizer(tokenizer_path), N_CODES, "v1.1")
    template = bind_template(tokenizer)
    vocabulary = tokenizer.get_vocab()
    start, end, speech, speech_end = (vocabulary[token] for token in MODALITY_TOKENS)
    first, im_end = vocabulary["<|s_0|>"], vocabulary["<|im_end|>"]
    # What stands between the question and the answer is the same in every row.
    empty = template(messages("")[:1], add_generation_prompt=True)
    header = len(empty) - empty.index(im_end)

    def encode(question: str, answer: str, codes: list[int]) -> tuple[list[int], int]:
        ids = template(messages(question, answer))[:-1]
        prompt = ids.index(im_end) + header
        spoken = [code + first for code in codes]
        ids = [*ids[:prompt], start, *ids[prompt:-1], end, speech, *spoken, speech_end, im_end]
        return ids, prompt

    return encode


def messages(question: str, answer: str = "") -> list[dict[str, str]]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def bind_template(tokenizer: Any) -> Callable[..., list[int]]:
    return partial(tokenizer.apply_chat_template, enable_thinking=False, return_dict=False)


def row_by_row(encode: Encode, raw: Path, output: Path) -> None:
    with output.open("w", encoding="utf-8") as file:
        for shard in find_shards(raw):
            table = pq.read_table(shard, columns=["question", "answer", SPEECH_COLUMN])
            for row in table.to_pylist():
                question = row["question"].removeprefix(SPEAKER_PREFIX)
                ids, prompt = encode(question, row["answer"], row[SPEECH_COLUMN])
                labels = [-100] * prompt + ids[prompt:]
                sample = {"input_ids": ids, "labels": labels, "attention_mask": [1] * len(ids)}
                file.write(json.dumps(sample, separators=(",", ":")) + "\n")


def plain(raw: Path, output: Path, tokenizer_path: str) -> Callable[[], object]:
    return partial(row_by_row, through_template(tokenizer_path), raw, output)


def careful(raw: Path, output: Path, tokenizer_path: str) -> Callable[[], object]:
    return partial(row_by_row, around_template(tokenizer_path), raw, output)


def voxtwist(raw: Path, output: Path, tokenizer_path: str) -> Callable[[], object]:
    settings = make_settings(tokenizer_path)
    return lambda: convert(raw, output, settings, WORKERS)


def tokenizer_only(raw: Path, output: Path, tokenizer_path: str) -> Callable[[], object]:
    """The tokenizer alone, on the bare texts in all threads, and as many bytes written."""
    text = make_settings(tokenizer_path).chat.text.tokenizer
    data = bytes(12_500) * ROWS_PER_SHARD

    def run() -> None:
        with output.open("wb") as file:
            for shard in find_shards(raw):
                table = pq.read_table(shard, columns=["question", "answer"])
                texts = table["question"].to_pylist() + table["answer"].to_pylist()
                text.encode_batch_fast(texts, add_special_tokens=False)
                file.write(data)

    return run


def make_settings(tokenizer_path: str) -> ConvertSettings:
    tokenizer = extend_tokenizer(load_fast_tokenizer(tokenizer_path), N_CODES, "v1.1")
    return ConvertSettings(ChatFormat.from_tokenizer(tokenizer), 50)  # SLAM-Omni's rate


WAYS = {f.__name__: f for f in (plain, careful, tokenizer_only, voxtwist)}


def measure(way: str, raw: Path, output: Path, tokenizer: str) -> dict[str, float]:
    """Seconds of wall clock and of processor, and peak memory in MB, of a process of its own.

    Loading the tokenizer is left out of the times and counted in the memory.
    """
    command = [sys.executable, __file__, "--tokenizer", tokenizer]
    command += ["--measure", way, str(raw), str(output)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def measure_here(way: str, raw: Path, output: Path, tokenizer: str) -> dict[str, float]:
    run = WAYS[way](raw, output, tokenizer)
    wall, processor = time.perf_counter(), time.process_time()
    run()
    return {
        "wall": time.perf_counter() - wall,
        "processor": time.process_time() - processor,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokenizer", default=str(QWEN3), help="folder or hub name")
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        way, raw, output = options.measure
        print(json.dumps(measure_here(way, Path(raw), Path(output), options.tokenizer)))
        return
    few, many = (2_000, 20_000) if options.quick else (20_000, 200_000)
    with tempfile.TemporaryDirectory() as folder:
        report(Path(folder), few, many, options.tokenizer)


def report(folder: Path, few: int, many: int, tokenizer: str) -> None:
    make_rows(folder / "few", few)
    results = {}
    for way in WAYS:
        results[way] = measure(way, folder / "few", folder / f"{way}.jsonl", tokenizer)
    digests = {digest(folder / f"{way}.jsonl") for way in ("plain", "careful", "voxtwist")}
    print(f"## Convert: {few:,} rows, {os.cpu_count()} cores, {WORKERS} workers\n")
    print("| way | rows/s | × plain | × careful | processor µs/row | peak MB |")
    print("|---|---|---|---|---|---|")
    for way, r in results.items():
        times = [f"{results[w]['wall'] / r['wall']:.1f}" for w in ("plain", "careful")]
        processor = r["processor"] / few * 1e6
        print(f"| {way} | {few / r['wall']:,.0f} | {' | '.join(times)} | {processor:.0f} |", end="")
        print(f" {r['memory']:.0f} |")
    size = (folder / "voxtwist.jsonl").stat().st_size
    print(f"\nAll three files identical: {'yes' if len(digests) == 1 else 'NO'} ({size:,} bytes).")
    make_rows(folder / "many", many)
    large = measure("voxtwist", folder / "many", folder / "voxtwist.jsonl", tokenizer)
    print(
        f"Peak memory: {results['voxtwist']['memory']:.0f} MB at {few:,} rows, "
        f"{large['memory']:.0f} MB at {many:,} rows ({many / large['wall']:,.0f} rows/s)."
    )


if __name__ == "__main__":
    main()
