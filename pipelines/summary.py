"""Stage `summary`: ten headline numbers out of the other metrics."""

from pathlib import Path

from voxtwist import params
from voxtwist.files import write_json
from voxtwist.stages.headline import headline, read_metrics
from voxtwist.stages.script import stage_script

with stage_script():
    numbers = headline(read_metrics(Path("metrics")), params.load().evaluate_text.suites[0])
    write_json(numbers, Path("metrics/summary.json"))
