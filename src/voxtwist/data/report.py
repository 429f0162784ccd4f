"""What a conversion leaves for DVC: metrics as JSON, histograms as CSV, and a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from voxtwist.data.files import rows_path, write_atomically
from voxtwist.data.part import Counts
from voxtwist.data.stats import measure_rows, summarise, write_histograms


def report_conversion(
    counts: Counts, output: Path, metrics: Path | None, plots: Path | None
) -> dict[str, Any]:
    """Statistics of a converted file; written to `metrics` and drawn in folder `plots`, if given.

    Returns:
        Rows in and out, rejected by reason, hours of speech, and for tokens, seconds of speech and
        characters per second: mean, min, max and percentiles.
    """
    measures = measure_rows(rows_path(output))
    report = {
        "rows_in": counts.rows_in,
        "rows_out": counts.rows_out,
        "rejected": {"all": sum(counts.rejected.values()), **counts.rejected},
        "tokens_in_all": int(measures["tokens"].sum()),
        "hours_of_speech": round(float(measures["seconds"].sum()) / 3600, 3),
        **{name: summarise(values) for name, values in measures.items()},
    }
    if metrics:
        metrics.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(metrics, json.dumps(report, indent=2).encode() + b"\n")
    if plots:
        write_histograms(measures, plots)
    return report
