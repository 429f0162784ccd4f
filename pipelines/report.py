"""Stage `report`: all that was measured on one page, and as plots."""

from pathlib import Path

from voxtwist import params
from voxtwist.stages.report import report_stage
from voxtwist.terminal import one_line_errors

with one_line_errors():
    report_stage(
        Path(),
        params.load(),
        Path("metrics"),
        Path("samples"),
        Path("report"),
        Path("plots/results"),
    )
