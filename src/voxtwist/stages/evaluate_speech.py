"""Stage `evaluate_speech`: the fine-tuned model answers, and its speech is judged."""

from pathlib import Path
from typing import Any

from voxtwist.codec.loading import load_codec
from voxtwist.evaluation.speech.evaluate import SPEECH_SETTINGS, as_metrics, evaluate_speech
from voxtwist.evaluation.speech.judges import Judges
from voxtwist.files import write_json
from voxtwist.params import Params
from voxtwist.stages.model_run import SFT, model_run
from voxtwist.tracking.logged_model import log_model_metrics
from voxtwist.vcs import pipeline_md5


def speech_stage(
    root: Path, params: Params, checkpoint: Path, splits: Path, output: Path
) -> dict[str, Any]:
    """Let the model speak, and log figures and audio; `report_stage` makes pages of them.

    Returns:
        The metrics.
    """
    figures = evaluate_speech(
        checkpoint,
        splits / "train.jsonl",
        splits / "eval.jsonl",
        load_codec(params.codec),
        Judges.load(params.evaluate_speech, params.codec.prompt_audio),
        params.generate,
        params.evaluate_speech,
        params.seed,
        output,
    )
    metrics = as_metrics(figures)
    write_json(params.model_dump(include={"codec", "generate"}), output / SPEECH_SETTINGS)
    with model_run(root, params) as run:
        digest = pipeline_md5(root, str(splits / "eval.jsonl"))
        by_part = {f"speech/{name}": figure.value for name, figure in figures.items()}
        log_model_metrics(run, SFT, by_part, "eval", digest)
        run.log_artifacts(output, "speech")
    return metrics
