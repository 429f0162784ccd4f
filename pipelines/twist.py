"""Stage `twist`: the base model with the speech vocabulary, before any training."""

from pathlib import Path

from voxtwist import params
from voxtwist.files import write_json
from voxtwist.model.twist import twist_checkpoint
from voxtwist.stages.script import stage_script

with stage_script():
    settings = params.load()
    metrics = twist_checkpoint(
        Path("checkpoints/base"),
        Path("checkpoints/twist"),
        settings.codec,
        settings.data.format,
        settings.twist,
        settings.seed,
        Path("data/splits/train.jsonl"),
    )
    write_json(metrics, Path("metrics/twist.json"))
