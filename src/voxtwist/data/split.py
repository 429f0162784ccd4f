"""An SFT file in two: training and evaluation, by the same draw as always."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from voxtwist.data.files import rows_path, writing
from voxtwist.data.groups import group_rows, hash_texts
from voxtwist.data.index import scan, write_index
from voxtwist.data.overlap import OverlapReport
from voxtwist.errors import VoxtwistError

SIDES = ("train", "eval")
GROUP_COLUMNS = ("question", "answer")


def draw_eval(rows: int, ratio: float, seed: int, groups: np.ndarray | None = None) -> np.ndarray:
    """Which rows are held out: the first ``floor(rows * ratio)`` of ``range(rows)``, shuffled.

    Args:
        groups: int (rows,); rows of one number stay together. Whole groups are then drawn in the
            same shuffled order, passing over those that would exceed the size.

    Returns:
        bool (rows,).

    Raises:
        VoxtwistError: one of the sides would be empty.
    """
    order = list(range(rows))
    random.Random(seed).shuffle(order)
    target = math.floor(rows * ratio)
    is_eval = np.zeros(rows, dtype=bool)
    if groups is None:
        is_eval[order[:target]] = True
    else:
        sizes = np.bincount(groups)
        taken = np.zeros(len(sizes), dtype=bool)
        seen = taken.copy()
        left = target
        for group in groups[order].tolist():
            if not seen[group] and sizes[group] <= left:
                taken[group] = True
                left -= sizes[group]
            seen[group] = True
        is_eval = taken[groups]
    if is_eval.all() or not is_eval.any():
        raise VoxtwistError(
            f"eval_ratio {ratio} of {rows} rows leaves one side empty: give more rows, another "
            "ratio, or keep fewer equal questions and answers together (group_by)"
        )
    return is_eval


def split(
    source: Path,
    folder: Path,
    ratio: float,
    seed: int,
    group_by: Sequence[str] = (),
    progress: Callable[[int], object] = lambda samples: None,
) -> dict[str, Any]:
    """Writes ``train.jsonl`` and ``eval.jsonl`` with their tables of rows and token indexes.

    Both keep the order of `source`. Only one number per row is held in memory.

    Args:
        group_by: columns ("question", "answer"); rows with the same normalised text in one of them
            stay on one side.
        progress: called with the number of samples written since the last call.

    Returns:
        Sizes, overlap of the sides, and coverage of the eval answers' words.

    Raises:
        VoxtwistError: see `draw_eval`; also a file that is no SFT file, or whose rows are missing
            or do not belong to it.
    """
    table = rows_path(source)
    if not source.is_file():
        raise VoxtwistError(f"{source} is missing: run convert first")
    if not set(group_by) <= set(GROUP_COLUMNS):
        raise VoxtwistError(f"group_by is {list(group_by)}; it may hold question and answer")
    if not table.is_file() and group_by:
        raise VoxtwistError(f"{table} is missing, so equal texts cannot be found: use no group_by")
    lengths = read_lengths(source, table)
    groups = None
    if group_by:
        groups = group_rows([hash_column(table, name) for name in group_by])
    is_eval = draw_eval(len(lengths), ratio, seed, groups)
    folder.mkdir(parents=True, exist_ok=True)
    write_lines(source, folder, is_eval, lengths, progress)
    held_out = int(is_eval.sum())
    report: dict[str, Any] = {
        "train": len(is_eval) - held_out,
        "eval": held_out,
        "eval_wanted": math.floor(len(is_eval) * ratio),
        "group_by": "+".join(group_by) or "none",
    }
    if table.is_file():
        report |= write_rows(table, folder, is_eval)
    return report


def read_lengths(source: Path, table: Path) -> np.ndarray:
    """Tokens of every sample, from the table of rows, or from the file when there is none."""
    if not table.is_file():
        return scan(source)[1]
    return pq.read_table(table, columns=["n_tokens"])["n_tokens"].to_numpy()


def hash_column(table: Path, name: str) -> np.ndarray:
    with pq.ParquetFile(table) as rows:
        batches = rows.iter_batches(columns=[name])
        return np.concatenate([hash_texts(batch[name].to_pylist()) for batch in batches])


def write_lines(
    source: Path,
    folder: Path,
    is_eval: np.ndarray,
    lengths: np.ndarray,
    progress: Callable[[int], object],
) -> None:
    sizes = np.zeros(len(is_eval), dtype=np.int64)  # bytes of each line
    side_of = is_eval.astype(int).tolist()
    targets = [folder / f"{side}.jsonl" for side in SIDES]
    with ExitStack() as stack:
        files = [stack.enter_context(stack.enter_context(writing(t)).open("wb")) for t in targets]
        number = -1
        with source.open("rb") as lines:
            for number, line in enumerate(lines):
                if number < len(side_of):
                    files[side_of[number]].write(line)
                    sizes[number] = len(line)
                if number % 1000 == 999:
                    progress(1000)
        if number + 1 != len(is_eval):
            raise VoxtwistError(
                f"{source} has {number + 1} lines, {rows_path(source)} has {len(is_eval)} rows: "
                "run convert again"
            )
    for target, side in zip(targets, (~is_eval, is_eval), strict=True):
        write_index(target, np.append(0, np.cumsum(sizes[side])), lengths[side])


def write_rows(table: Path, folder: Path, is_eval: np.ndarray) -> dict[str, Any]:
    """Splits the table of rows; returns the summary of the overlap."""
    report = OverlapReport()
    start = 0
    with ExitStack() as stack:
        rows = stack.enter_context(pq.ParquetFile(table))
        targets = [rows_path(folder / f"{side}.jsonl") for side in SIDES]
        writers = [
            stack.enter_context(
                pq.ParquetWriter(stack.enter_context(writing(target)), rows.schema_arrow)
            )
            for target in targets
        ]
        for batch in rows.iter_batches():
            held_out = is_eval[start : start + len(batch)]
            start += len(batch)
            report.add(batch, held_out)
            for writer, side in zip(writers, (~held_out, held_out), strict=True):
                writer.write_batch(batch.filter(pa.array(side)))
    return report.summary()
