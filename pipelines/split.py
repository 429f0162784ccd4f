"""Stage `split`: samples are held out for evaluation."""

import json
from pathlib import Path

from voxtwist import params
from voxtwist.cli.data import progress_bar
from voxtwist.data.split import split
from voxtwist.terminal import one_line_errors

with one_line_errors():
    data = params.load().data
    with progress_bar("Splitting samples", None) as advance:
        report = split(
            Path("data/sft/all.jsonl"),
            Path("data/splits"),
            data.eval_ratio,
            data.split_seed,
            data.group_by,
            advance,
        )
    metrics = Path("metrics/split.json")
    metrics.parent.mkdir(exist_ok=True)
    metrics.write_text(json.dumps(report, indent=2) + "\n")
