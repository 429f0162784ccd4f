"""Stage `report`: report, listening page and plots out of what was measured."""

import json
from pathlib import Path
from typing import Any

import orjson

from voxtwist.errors import VoxtwistError
from voxtwist.evaluation.speech.evaluate import SAMPLES
from voxtwist.pages.listening import write_listening_page
from voxtwist.pages.plot_files import write_accuracies, write_curves, write_error_rates
from voxtwist.pages.report import LOSSES, write_report
from voxtwist.params import Params
from voxtwist.stages.model_run import model_run
from voxtwist.tracking.runs import Run, flatten

PAGE, LISTENING = "index.html", "listening.html"
_RUN_NAMES = {"training": "train", "heldout": "eval"}  # of the curves, and of the run's metrics
_SECTIONS = {"seed", "base", "codec", "generate", "evaluate_text", "evaluate_speech"}


def report_stage(
    root: Path, params: Params, metrics: Path, samples: Path, output: Path, plots: Path
) -> None:
    """Write report and listening page into `output` and the model's run; plots as CSV files.

    The learning curves are those of the run; a run that this store never saw has none.

    Args:
        metrics: folder with text_sft.json and speech.json.
        samples: folder with text_sft and speech.
        plots: folder for CSV files.

    Raises:
        VoxtwistError: something was not measured yet.
    """
    measured = {
        "text": _read(metrics / "text_sft.json", "evaluate_text_sft"),
        "speech": _read(metrics / "speech.json", "evaluate_speech"),
    }
    with model_run(root, params) as run:
        title = run.store.client.get_run(run.id).info.run_name
        curves = {kind: read_curves(run, kind) for kind in LOSSES}
        write_report(
            output / PAGE,
            title,
            measured,
            samples,
            {kind: lines for kind, lines in curves.items() if lines},
            flatten(params.model_dump(include=_SECTIONS)),
        )
        run.log_artifact(output / PAGE, "report")
        write_listening_page(output / LISTENING, samples / "speech", measured["speech"], title)
        run.log_artifact(output / LISTENING, "speech")
    for name in _RUN_NAMES:
        of_kinds = {kind: lines.get(name, []) for kind, lines in curves.items()}
        write_curves(plots / f"loss_{name}.csv", of_kinds)
    rows = (samples / "speech" / SAMPLES).read_bytes().splitlines()
    write_error_rates(plots / "wer.csv", map(orjson.loads, rows))
    to_base = measured["text"]["comparison_to_base"]
    write_accuracies(
        plots / "text.csv",
        {
            name: {"base": to_base[name]["before"], "before": c["before"], "after": c["after"]}
            for name, c in measured["text"]["comparison"].items()
        },
    )


def read_curves(run: Run, kind: str) -> dict[str, list[tuple[int, float]]]:
    """The losses of one kind of tokens that the run has: by name, (step, nats) in order."""
    curves = {}
    for name, prefix in _RUN_NAMES.items():
        history = run.store.client.get_metric_history(run.id, f"{prefix}/loss_{kind}")
        if history:
            curves[name] = sorted({metric.step: metric.value for metric in history}.items())
    return curves


def _read(file: Path, stage: str) -> dict[str, Any]:
    if not file.exists():
        raise VoxtwistError(f"{file} is missing: run the stage {stage} first")
    values: dict[str, Any] = json.loads(file.read_bytes())
    return values
