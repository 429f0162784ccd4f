"""The evaluation stages as the pipeline runs them: measured, and logged into the model's run."""

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from voxtwist.codec.loading import load_codec
from voxtwist.errors import VoxtwistError
from voxtwist.evaluation.asr import load_transcriber
from voxtwist.evaluation.speech import as_metrics, evaluate_speech
from voxtwist.evaluation.text import (
    compare_text,
    evaluate_text,
    read_questions,
    refuse_trained,
    write_results,
)
from voxtwist.params import Params
from voxtwist.tracking.listening import write_listening_page
from voxtwist.tracking.runs import Run, resume_run
from voxtwist.tracking.store import open_store


def text_stage(params: Params, checkpoint: Path, train: Path, output: Path) -> dict[str, Any]:
    """Run the suites on a checkpoint; `output` gets the table of questions.

    Args:
        train: the training split, in which no question may be.

    Returns:
        The metrics.
    """
    settings = params.evaluate_text
    results = evaluate_text(
        checkpoint, settings.suites, limit=settings.limit, batch_size=settings.batch_size
    )
    refuse_trained(results.questions, train)
    write_results(output, results)
    return results.metrics


def text_comparison(params: Params, before: Path, after: Path) -> dict[str, Any]:
    """Paired comparison of two folders that `text_stage` wrote, by "task/metric"."""
    compared = compare_text(
        read_questions(before), read_questions(after), params.evaluate_text.bootstrap
    )
    return {name: comparison.as_dict() for name, comparison in compared.items()}


def log_text(root: Path, params: Params, metrics: dict[str, Any], output: Path) -> None:
    """Log the fine-tuned model's text metrics, their change, and the table of questions."""
    with model_run(root, params) as run:
        comparison = metrics["comparison"]
        run.log_metrics(
            {f"text/{name}": value for name, value in metrics.items() if name != "comparison"}
            | {f"text_change/{name}": change["difference"] for name, change in comparison.items()}
        )
        run.log_artifacts(output, "text")


def speech_stage(
    root: Path, params: Params, checkpoint: Path, splits: Path, output: Path
) -> dict[str, Any]:
    """Let the model speak, and log figures, audio and the listening page.

    Returns:
        The metrics.
    """
    figures = evaluate_speech(
        checkpoint,
        splits / "train.jsonl",
        splits / "eval.jsonl",
        load_codec(params.codec),
        load_transcriber(params.evaluate_speech.asr),
        params.generate,
        params.evaluate_speech,
        params.seed,
        output,
    )
    metrics = as_metrics(figures)
    with model_run(root, params) as run:
        title = run.store.client.get_run(run.id).info.run_name
        write_listening_page(output / "listening.html", output, metrics, title)
        run.log_metrics({f"speech/{name}": figure.value for name, figure in figures.items()})
        run.log_artifacts(output, "speech")
    return metrics


def model_run(root: Path, params: Params) -> AbstractContextManager[Run]:
    """The run in which the model was trained, by the id that training left.

    metrics/train.json is no dependency of the stages: a stage restored from DVC's cache must not
    run again because a run has another id.
    """
    report = root / "metrics" / "train.json"
    if not report.exists():
        raise VoxtwistError(f"{report} is missing: run the stage train first")
    run_id = json.loads(report.read_text())["run_id"]
    return resume_run(open_store(root, params.tracking.experiment), run_id)
