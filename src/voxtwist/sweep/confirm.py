"""The best trials again, on the full budget and with several seeds, as DVC experiments.

A trial's win may be luck of its seed or of its short budget. The baseline, the settings as they
are, is trained with the same seeds; how much it varies is the noise floor.
"""

import csv
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import dvc.api
import numpy as np
import yaml
from rich.table import Table
from scipy.stats import ttest_ind

from voxtwist.errors import VoxtwistError
from voxtwist.files import write_json
from voxtwist.params import Params
from voxtwist.sweep.job import Outputs
from voxtwist.sweep.measure import accuracy, held_out_wer
from voxtwist.tracking.lineage import commit
from voxtwist.training.state import fingerprint
from voxtwist.vcs import run_dvc

BASELINE = "baseline"
# Without what comes before them: another seed must not make another corpus.
_ALWAYS = ["train", "evaluate_text_sft"]
_TWIST = ["twist", "evaluate_text_twist"]
_SPEECH = ["evaluate_speech"]


@dataclass(frozen=True)
class Candidate:
    """Settings to confirm: dotted names to values, or none for the baseline."""

    name: str
    values: Mapping[str, Any]


def confirm(
    params: Params,
    outputs: Outputs,
    top: int,
    seeds: int,
    report: Path,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Train the `top` trials and the baseline with `seeds` seeds each; experiments that exist stay.

    The current directory is the project, whose pipeline has run. Each experiment runs in a
    temporary copy, so the work tree stays as it is.

    Args:
        report: JSON file for the result.

    Returns:
        By candidate, by measure (`speech_nll`, a suite's `trivia_error`, and `wer` where that is
        the objective): `values` of the seeds, and for all but the baseline an `AgainstBaseline`.

    Raises:
        VoxtwistError: there is no sweep, or an experiment fails.
    """
    if seeds < 2:
        raise VoxtwistError("--seeds is 1: a noise floor needs at least 2")
    study, best = read_ranked(outputs, top)
    values: dict[str, dict[str, list[float]]] = {}
    for candidate in [Candidate(BASELINE, {}), *best]:
        for seed in range(params.seed, params.seed + seeds):
            name = f"{study[:12]}-{candidate.name}-seed{seed}-{_key(params)}"
            if name not in _experiments():
                say(f"training {name}")
                _run(name, candidate, seed, params)
            for measure, value in _measures(name, params).items():
                values.setdefault(candidate.name, {}).setdefault(measure, []).append(value)
    found = {
        name: {
            measure: {"values": own}
            | ({} if name == BASELINE else asdict(compare_seeds(own, values[BASELINE][measure])))
            for measure, own in measures.items()
        }
        for name, measures in values.items()
    }
    write_json({"study": study, "candidates": found}, report)
    return found


def read_ranked(outputs: Outputs, top: int) -> tuple[str, list[Candidate]]:
    """The study's name, and its best trials that kept their text, out of trials.csv.

    Raises:
        VoxtwistError: there is no table.
    """
    if not outputs.table.exists() or not outputs.report.exists():
        raise VoxtwistError(f"{outputs.table} is missing: run `make sweep`")
    with outputs.table.open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["feasible"] == "True"]
    rows.sort(key=lambda row: float(row["objective"]))
    study = json.loads(outputs.report.read_bytes())["study"]
    return study, [
        Candidate(
            f"trial{row['trial']}",
            # As YAML reads them: numbers, true, null.
            {name: yaml.safe_load(row[name]) for name in row if "." in name},
        )
        for row in rows[:top]
    ]


def _key(params: Params) -> str:
    """Experiments are told apart by the commit and the settings that they started from."""
    head = commit(Path()).sha
    return fingerprint({"commit": head, "params": params.model_dump(exclude={"sweep"})})[:6]


def _experiments() -> list[str]:
    return run_dvc(Path(), "exp", "list", "--name-only").stdout.split()


def _run(name: str, candidate: Candidate, seed: int, params: Params) -> None:
    twisted = any(setting.startswith("twist.") for setting in candidate.values)
    stages = [*(_TWIST if twisted else []), *_ALWAYS]
    stages += _SPEECH if params.sweep.objective == "wer" else []
    options: list[str] = []
    for setting, value in {**candidate.values, "seed": seed}.items():
        options += ["-S", f"{setting}={json.dumps(value)}"]
    done = run_dvc(Path(), "exp", "run", "--temp", "--single-item", "-n", name, *options, *stages)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise VoxtwistError(f"the experiment {name} failed: {' '.join(lines[-3:])}")


def _measures(name: str, params: Params) -> dict[str, float]:
    """The objective of one experiment; lower is better."""
    text = _metrics("text_sft", name)
    measures = {"speech_nll": float(_metrics("train", name)["after"]["loss_speech"])}
    for suite in params.evaluate_text.suites:
        measures[f"{suite}_error"] = 1 - accuracy(text, suite)
    if params.sweep.objective == "wer":
        measures["wer"] = held_out_wer(_metrics("speech", name))
    return measures


def _metrics(stage: str, experiment: str) -> dict[str, Any]:
    found: dict[str, Any] = dvc.api.metrics_show(f"metrics/{stage}.json", rev=experiment)
    return found


def confirmation_table(found: Mapping[str, Any]) -> Table:
    """Mean ± sd of every candidate and measure, and whether it beats the baseline's seeds."""
    table = Table("", "", "mean ± sd", "against the baseline", "", header_style="bold", box=None)
    for name, measures in found.items():
        for measure, row in measures.items():
            values = row["values"]
            table.add_row(
                name,
                measure,
                f"{statistics.mean(values):.4f} ± {statistics.stdev(values):.4f}",
                *(
                    ()
                    if name == BASELINE
                    else (
                        f"{row['difference']:+.4f} ({row['low']:+.4f} to {row['high']:+.4f})",
                        row["verdict"],
                    )
                ),
            )
    return table


CONFIDENCE = 0.95


@dataclass(frozen=True)
class AgainstBaseline:
    """A candidate's difference to the baseline; lower is better.

    Attributes:
        mean, sd: of the candidate over its seeds; sd is the sample's (n - 1).
        difference: candidate - baseline; `low` and `high` are its 95 % interval (Welch's t, which
            allows the two to vary differently).
        verdict: `better`, `worse`, or `inside the noise` when the interval holds 0.
    """

    mean: float
    sd: float
    difference: float
    low: float
    high: float
    verdict: str


def compare_seeds(candidate: Sequence[float], baseline: Sequence[float]) -> AgainstBaseline:
    """Judge a candidate by the values of its seeds and of the baseline's, two or more of each.

    Raises:
        ValueError: fewer than two values.
    """
    new, old = np.asarray(candidate, dtype=float), np.asarray(baseline, dtype=float)
    if min(len(new), len(old)) < 2:
        raise ValueError("a noise floor needs at least two seeds")
    difference = float(new.mean() - old.mean())
    if new.std() == old.std() == 0:  # no noise at all: Welch's t would divide by it
        low = high = difference
    else:
        interval = ttest_ind(new, old, equal_var=False).confidence_interval(CONFIDENCE)
        low, high = float(interval.low), float(interval.high)
    verdict = "better" if high < 0 else "worse" if low > 0 else "inside the noise"
    return AgainstBaseline(
        float(new.mean()), float(new.std(ddof=1)), difference, low, high, verdict
    )
