"""How long samples are, how long they speak and how fast: numbers, CSV histograms, a picture."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from voxtwist.data.raw import read_origin
from voxtwist.errors import VoxtwistError

PERCENTILES = (1, 5, 50, 95, 99)
TITLES = {
    "tokens": "tokens of a sample",
    "seconds": "seconds of speech of an answer",
    "characters_per_second": "characters of text per second of speech",
}


def measure_rows(rows: Path) -> dict[str, np.ndarray]:
    """One number per sample for each measure in `TITLES`, from an SFT file's table of rows.

    Raises:
        VoxtwistError: the table does not say its codes' frame rate: an older version made it.
    """
    rate = read_frame_rate(rows)
    if rate is None:
        raise VoxtwistError(f"{rows} does not say its codec's frame rate: run convert again")
    table = pq.read_table(rows, columns=["n_tokens", "n_codes", "answer"])
    characters = pc.utf8_length(pc.utf8_trim_whitespace(table["answer"])).to_numpy()
    seconds = table["n_codes"].to_numpy() / rate
    return {
        "tokens": table["n_tokens"].to_numpy(),
        "seconds": seconds,
        "characters_per_second": characters / seconds,
    }


def read_frame_rate(rows: Path) -> int | None:
    """Codes per second, as an SFT file's table of rows says; older versions' say nothing."""
    return read_origin(pq.read_schema(rows), rows).frame_rate_hz


def summarise(values: np.ndarray) -> dict[str, float]:
    """Mean, extremes and percentiles; empty without values."""
    if not len(values):
        return {}
    percentiles = np.percentile(values, PERCENTILES)
    named = {f"p{p}": value for p, value in zip(PERCENTILES, percentiles, strict=True)}
    summary = {"mean": values.mean(), "min": values.min(), **named, "max": values.max()}
    return {name: round(float(value), 3) for name, value in summary.items()}


def write_histograms(measures: Mapping[str, np.ndarray], folder: Path, bins: int = 40) -> None:
    """A CSV for each measure (lower edge of a bin, samples in it) and `lengths.png` of them all."""
    # Figure, not pyplot: no global state, and no display is looked for.
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(12, 3.2), layout="constrained")
    axes = figure.subplots(1, len(measures))
    for axis, (name, values) in zip(axes, measures.items(), strict=True):
        counts, edges = np.histogram(values, bins)
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([name, "samples"])
            lower = edges[:-1].round(3).tolist()
            writer.writerows(zip(lower, counts.tolist(), strict=True))
        axis.stairs(counts, edges, fill=True, color="#4269d0")
        median = float(np.median(values))
        axis.axvline(median, color="#ff725c", label=f"median {median:,.1f}")
        axis.set(xlabel=TITLES[name], ylabel="samples")
        axis.legend(frameon=False)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(folder / "lengths.png", dpi=110)
