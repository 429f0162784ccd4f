"""Stage `split`: samples are held out for evaluation."""

from pathlib import Path

from voxtwist import params
from voxtwist.files import write_json
from voxtwist.stages.script import stage_script
from voxtwist.stages.split import split_stage

with stage_script():
    report = split_stage(params.load(), Path("data/sft/all.jsonl"), Path("data/splits"))
    write_json(report, Path("metrics/split.json"))
