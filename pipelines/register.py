"""Stage `register`: the trained checkpoint becomes a version in the model registry."""

from pathlib import Path

from voxtwist import params
from voxtwist.stages.register import register_stage
from voxtwist.stages.script import stage_script

with stage_script():
    register_stage(
        Path(),
        params.load(),
        "checkpoints/sft",
        report=Path("metrics/register.json"),
        evidence=[Path("metrics/split.json")],
    )
