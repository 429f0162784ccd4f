"""Stages `evaluate_text_*`: `evaluate_text.py twist`, `evaluate_text.py sft --after twist base`."""

import argparse
from pathlib import Path

from voxtwist import params
from voxtwist.files import write_json
from voxtwist.stages.evaluate_text import text_stage
from voxtwist.stages.script import stage_script

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("checkpoint", help="of checkpoints/")
parser.add_argument("--after", nargs=2, metavar=("BEFORE", "BASE"), help="what to compare it with")
asked = parser.parse_args()

with stage_script():
    metrics = text_stage(
        Path(),
        params.load(),
        Path("checkpoints") / asked.checkpoint,
        Path("data/splits/train.jsonl"),
        Path("samples") / f"text_{asked.checkpoint}",
        *(Path("samples") / f"text_{name}" for name in asked.after or ()),
    )
    write_json(metrics, Path("metrics") / f"text_{asked.checkpoint}.json")
