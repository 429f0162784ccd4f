"""Stage `train`: fine-tuning, logged as one MLflow run."""

from pathlib import Path

from voxtwist import params
from voxtwist.stages.script import stage_script
from voxtwist.stages.train import train_stage
from voxtwist.training.launch import launch_as_asked

launch_as_asked()
with stage_script():
    train_stage(
        params.load(),
        root=Path(),
        start=Path("checkpoints/twist"),
        splits=Path("data/splits"),
        best=Path("checkpoints/sft"),
        last=Path("checkpoints/last"),
        report=Path("metrics/train.json"),
    )
