"""Stage `train`: fine-tuning, logged as one MLflow run."""

from pathlib import Path

from voxtwist import params
from voxtwist.cli.errors import one_line_errors
from voxtwist.files import write_json
from voxtwist.training.tracked import train_tracked

with one_line_errors():
    metrics = train_tracked(
        params.load(),
        root=Path(),
        start=Path("checkpoints/twist"),
        splits=Path("data/splits"),
        best=Path("checkpoints/sft"),
        last=Path("checkpoints/last"),
    )
    write_json(metrics, Path("metrics/train.json"))
