"""Stage `split`: samples are held out; benchmark questions that are trained on are named."""

from pathlib import Path
from typing import Any

import typer

from voxtwist.data.split import split
from voxtwist.evaluation.text.trained import report_trained
from voxtwist.params import Params
from voxtwist.terminal import progress_bar


def split_stage(params: Params, source: Path, folder: Path) -> dict[str, Any]:
    """What `split` reports, and under `benchmarks` the report of `report_trained`."""
    data, text = params.data, params.evaluate_text
    with progress_bar("Splitting samples", None) as advance:
        report = split(source, folder, data.eval_ratio, data.split_seed, data.group_by, advance)
    datasets = Path(text.datasets) if text.datasets else None
    report["benchmarks"], lines = report_trained(text.suites, datasets, folder / "train.jsonl")
    for line in lines:
        typer.echo(line, err=True)
    return report
