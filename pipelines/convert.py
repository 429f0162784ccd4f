"""Stage `convert`: raw parquet becomes SFT samples."""

import os
from pathlib import Path

from voxtwist import params
from voxtwist.stages.convert import convert_stage
from voxtwist.stages.script import stage_script

with stage_script():
    convert_stage(
        params.load(),
        base="checkpoints/base",
        output=Path("data/sft/all.jsonl"),
        work=Path(os.environ.get("DVC_ROOT", ".")) / ".scratch" / "convert",
        report=Path("metrics/convert.json"),
        plots=Path("plots/convert"),
    )
