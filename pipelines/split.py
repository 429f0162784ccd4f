"""Stage `split`: samples are held out for evaluation."""

from pathlib import Path

from voxtwist import params
from voxtwist.data.split import split
from voxtwist.files import write_json
from voxtwist.terminal import one_line_errors, progress_bar

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
    write_json(report, Path("metrics/split.json"))
