"""Stages `evaluate_text_*`: what a checkpoint knows in text, compared with earlier ones."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from voxtwist.evaluation.text.evaluate import evaluate_text, write_results
from voxtwist.evaluation.text.table import compare_text, questions_digest, read_questions
from voxtwist.params import Params
from voxtwist.stages.model_run import SFT, model_run
from voxtwist.tracking.logged_model import log_model_metrics


def text_stage(
    root: Path,
    params: Params,
    checkpoint: Path,
    train: Path,
    output: Path,
    before: Path | None = None,
    base: Path | None = None,
) -> dict[str, Any]:
    """Run the suites on a checkpoint; `output` gets the table of questions and the details.

    Args:
        root: the project.
        train: the training split; questions that are in it are left out.
        before, base: outputs of this stage for the model before fine-tuning and for the text model.
            With both, the changes are measured, and everything is logged into the model's run.

    Returns:
        The metrics; with `before` and `base` also `comparison` and `comparison_to_base`.
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
    write_results(output, results, settings.bootstrap)
    metrics: dict[str, Any] = results.metrics
    if before and base:
        metrics["comparison"] = compare_folders(before, output, settings.bootstrap)
        metrics["comparison_to_base"] = compare_folders(base, output, settings.bootstrap)
        log_text(root, params, metrics, output)
    return metrics


def compare_folders(before: Path, after: Path, resamples: int) -> dict[str, Any]:
    """Paired comparison of two outputs of the stage, by "task/metric"."""
    compared = compare_text(read_questions(before), read_questions(after), resamples)
    return {name: comparison.as_dict() for name, comparison in compared.items()}


def log_text(root: Path, params: Params, metrics: Mapping[str, Any], output: Path) -> None:
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
