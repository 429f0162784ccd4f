"""Stage `train`: fine-tuning, logged as one MLflow run."""

from pathlib import Path

from voxtwist import params
from voxtwist.stages.train import train_stage
from voxtwist.terminal import one_line_errors
from voxtwist.training.launch import launch_as_asked

launch_as_asked()
with one_line_errors():
    train_stage(
        params.load(),
        root=Path(),
        start=Path("checkpoints/twist"),
        splits=Path("data/splits"),
        best=Path("checkpoints/sft"),
        last=Path("checkpoints/last"),
        report=Path("metrics/train.json"),
    )
