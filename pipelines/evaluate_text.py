"""Stages `evaluate_text_*`: `evaluate_text.py twist`, `evaluate_text.py sft --after twist base`."""

import argparse
from pathlib import Path

from voxtwist import params
from voxtwist.files import write_json
from voxtwist.stages.evaluate import log_text, text_comparison, text_stage
from voxtwist.terminal import one_line_errors

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("checkpoint", help="of checkpoints/")
parser.add_argument("--after", nargs=2, metavar=("BEFORE", "BASE"), help="what to compare it with")
asked = parser.parse_args()
output = Path("samples") / f"text_{asked.checkpoint}"

with one_line_errors():
    settings = params.load()
    checkpoint, train = Path("checkpoints") / asked.checkpoint, Path("data/splits/train.jsonl")
    metrics = text_stage(settings, checkpoint, train, output)
    if asked.after:
        before, base = (Path("samples") / f"text_{name}" for name in asked.after)
        metrics["comparison"] = text_comparison(settings, before, output)
        metrics["comparison_to_base"] = text_comparison(settings, base, output)
        log_text(Path(), settings, metrics, output)
    write_json(metrics, Path("metrics") / f"text_{asked.checkpoint}.json")
