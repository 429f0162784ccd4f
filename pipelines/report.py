"""Stage `report`: all that was measured on one page, and as plots."""

from pathlib import Path

from voxtwist import params
from voxtwist.stages.report import report_stage
from voxtwist.stages.script import stage_script

with stage_script():
    report_stage(
        Path(),
        params.load(),
        Path("metrics"),
        Path("samples"),
        Path("report"),
        Path("plots/results"),
    )
