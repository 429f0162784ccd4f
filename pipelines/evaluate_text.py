"""Stage `evaluate_text`: `evaluate_text.py twist`, then `evaluate_text.py sft --after twist`."""

import argparse
from pathlib import Path

from voxtwist import params
from voxtwist.cli.errors import one_line_errors
from voxtwist.evaluation.tracked import log_text, text_comparison, text_stage
from voxtwist.files import write_json

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("checkpoint", help="of checkpoints/")
parser.add_argument("--after", help="the earlier checkpoint that it is compared with")
asked = parser.parse_args()
output = Path("samples") / f"text_{asked.checkpoint}"

with one_line_errors():
    settings = params.load()
    checkpoint, train = Path("checkpoints") / asked.checkpoint, Path("data/splits/train.jsonl")
    metrics = text_stage(settings, checkpoint, train, output)
    if asked.after:
        before = Path("samples") / f"text_{asked.after}"
        metrics["comparison"] = text_comparison(settings, before, output)
        log_text(Path(), settings, metrics, output)
    write_json(metrics, Path("metrics") / f"text_{asked.checkpoint}.json")
