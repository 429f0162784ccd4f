"""Results as CSV files that `dvc plots` draws and compares between commits."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

Curve = Sequence[tuple[int, float]]


def write_curves(file: Path, curves: Mapping[str, Curve]) -> None:
    """One row per step, one column per curve; missing values stay empty."""
    steps = sorted({step for curve in curves.values() for step, _ in curve})
    columns = [dict(curve) for curve in curves.values()]
    rows = ([step, *(column.get(step, "") for column in columns)] for step in steps)
    _write(file, ["step", *curves], rows)


def write_error_rates(file: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """One row a spoken answer of samples.jsonl."""
    header = ["group", "id", "wer", "reference_wer"]
    _write(
        file,
        header,
        (
            [
                f"{row['group']} {row['part']}",
                row["id"],
                *(row[name]["errors"] / row[name]["length"] for name in _WORDS),
            ]
            for row in rows
        ),
    )


_WORDS = ("words", "reference_words")


def write_accuracies(file: Path, accuracies: Mapping[str, Mapping[str, float]]) -> None:
    """One row a figure and model. Args: by the figure's name, model to share of right answers."""
    rows = (
        [f"{name} {model}", value]
        for name, models in accuracies.items()
        for model, value in models.items()
    )
    _write(file, ["figure", "accuracy"], rows)


def _write(file: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(header)
        writer.writerows(rows)
