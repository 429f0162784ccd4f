"""Stage `evaluate_speech`: the fine-tuned model answers, and its speech is judged."""

from pathlib import Path

from voxtwist import params
from voxtwist.cli.errors import one_line_errors
from voxtwist.evaluation.tracked import speech_stage
from voxtwist.files import write_json

with one_line_errors():
    metrics = speech_stage(
        Path(),
        params.load(),
        Path("checkpoints/sft"),
        Path("data/splits"),
        Path("samples/speech"),
    )
    write_json(metrics, Path("metrics/speech.json"))
