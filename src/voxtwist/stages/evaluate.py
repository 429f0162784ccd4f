"""The evaluation stages as the pipeline runs them: measured, and logged into the model's run."""

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from voxtwist.codec.loading import load_codec
from voxtwist.device import best_device
from voxtwist.errors import VoxtwistError
from voxtwist.evaluation.speech.evaluate import as_metrics, evaluate_speech
from voxtwist.evaluation.speech.judges import Judges
from voxtwist.evaluation.text.evaluate import TextResults, evaluate_text
from voxtwist.evaluation.text.letters import write_letters
from voxtwist.evaluation.text.table import (
    compare_text,
    questions_digest,
    read_questions,
    write_questions,
)
from voxtwist.files import write_json
from voxtwist.pages.listening import write_listening_page
from voxtwist.params import Params
from voxtwist.tracking.logged_model import log_model_metrics
from voxtwist.tracking.runs import Run, resume_run
from voxtwist.tracking.store import open_store
from voxtwist.vcs import pipeline_md5

TEXT_DETAILS = "details.json"
SPEECH_SETTINGS = "settings.json"  # with which the model spoke: {"codec": …, "generate": …}
SFT = "sft"  # name of the fine-tuned model


def text_stage(params: Params, checkpoint: Path, train: Path, output: Path) -> dict[str, Any]:
    """Run the suites on a checkpoint; `output` gets the table of questions and the details.

    Args:
        train: the training split, in which no question may be.

    Returns:
        The metrics.
    """
    settings = params.evaluate_text
    results = evaluate_text(
        checkpoint,
        settings.suites,
        limit=settings.limit,
        batch_size=settings.batch_size,
        datasets=Path(settings.datasets) if settings.datasets else None,
        train=train,
        server=settings.server,
    )
    write_text_results(output, results, settings.bootstrap)
    return results.metrics


def write_text_results(output: Path, results: TextResults, resamples: int) -> None:
    """questions.jsonl, details.json, and the CSV files of letter-scored suites."""
    write_questions(output, results.questions)
    write_letters(output, results.questions, resamples)
    write_json(json.loads(json.dumps(results.details, default=str)), output / TEXT_DETAILS)


def text_comparison(params: Params, before: Path, after: Path) -> dict[str, Any]:
    """Paired comparison of two folders that `text_stage` wrote, by "task/metric"."""
    compared = compare_text(
        read_questions(before), read_questions(after), params.evaluate_text.bootstrap
    )
    return {name: comparison.as_dict() for name, comparison in compared.items()}


def log_text(root: Path, params: Params, metrics: dict[str, Any], output: Path) -> None:
    """Log the fine-tuned model's text metrics, their change, and the table of questions."""
    rows = read_questions(output)
    suite_of = {name: row["suite"] for row in rows for name in (*row["groups"], row["task"])}
    by_suite: dict[str, dict[str, float]] = {}
    for name, value in metrics.items():
        if isinstance(value, float | int):
            level = max((n for n in suite_of if name.startswith(f"{n}/")), key=len, default="")
            suite = suite_of.get(level, name.partition("/")[0])
            by_suite.setdefault(suite, {})[f"text/{name}"] = value
    with model_run(root, params) as run:
        for suite, figures in by_suite.items():
            digest = questions_digest([row for row in rows if row["suite"] == suite])
            log_model_metrics(run, SFT, figures, suite, digest)
        comparison = metrics["comparison"]
        run.log_metrics(
            {f"text_change/{name}": change["difference"] for name, change in comparison.items()}
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
        load_codec(params.codec, best_device()),
        Judges.load(params.evaluate_speech, params.codec.prompt_audio),
        params.generate,
        params.evaluate_speech,
        params.seed,
        output,
    )
    metrics = as_metrics(figures)
    write_json(params.model_dump(include={"codec", "generate"}), output / SPEECH_SETTINGS)
    with model_run(root, params) as run:
        title = run.store.client.get_run(run.id).info.run_name
        write_listening_page(output / "listening.html", output, metrics, title)
        digest = pipeline_md5(root, str(splits / "eval.jsonl"))
        log_model_metrics(run, SFT, _by_part(figures), "eval", digest)
        run.log_artifacts(output, "speech")
    return metrics


def _by_part(figures: Mapping[str, Any]) -> dict[str, float]:
    return {f"speech/{name}": figure.value for name, figure in figures.items()}


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
