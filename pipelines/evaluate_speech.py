"""Stage `evaluate_speech`: the fine-tuned model answers, and its speech is judged."""

from pathlib import Path

from voxtwist import params
from voxtwist.files import write_json
from voxtwist.stages.evaluate_speech import speech_stage
from voxtwist.stages.script import stage_script

with stage_script():
    metrics = speech_stage(
        Path(),
        params.load(),
        Path("checkpoints/sft"),
        Path("data/splits"),
        Path("samples/speech"),
    )
    write_json(metrics, Path("metrics/speech.json"))
