"""Stage `register`: the trained checkpoint becomes a version in the model registry."""

from pathlib import Path

from voxtwist import params
from voxtwist.stages.register import register_stage
from voxtwist.terminal import one_line_errors

with one_line_errors():
    register_stage(
        Path(),
        params.load(),
        "checkpoints/sft",
        report=Path("metrics/register.json"),
        evidence=[Path("metrics/split.json")],
    )
