"""What a study leaves behind: the best settings, a table of all trials, plots, and itself."""

import csv
import shutil
from pathlib import Path
from typing import Any

import optuna
import yaml
from optuna.trial import FrozenTrial, TrialState

from voxtwist.files import write_json
from voxtwist.sweep.job import Outputs
from voxtwist.sweep.plots import write_plots
from voxtwist.sweep.runs import FEASIBLE, RETENTION, RUN_ID
from voxtwist.sweep.slots import REASON, results
from voxtwist.sweep.space import Space
from voxtwist.sweep.study import open_storage

# A trial's columns in trials.csv, after its settings.
_COLUMNS = ("objective", "retention", "retention_change", FEASIBLE)
_MORE = ("steps", "tokens", "seconds", RUN_ID, REASON)


def write_outputs(
    study: optuna.Study, space: Space, artifacts: Path, outputs: Outputs
) -> FrozenTrial | None:
    """Write everything, in the place of an earlier study's.

    Returns:
        The best trial; None, and no best.yaml, if none kept its text.
    """
    for old in (outputs.study, outputs.plots):
        shutil.rmtree(old, ignore_errors=True)
        old.mkdir(parents=True)
    outputs.best.unlink(missing_ok=True)
    trials = [trial for _, trial in sorted(results(study).items())]
    best = best_trial(trials)
    _write_table(outputs.table, trials, list(space.distributions))
    write_plots(study, space.params.sweep, trials, outputs.plots)
    _keep(study, artifacts, outputs)
    if best:
        _write_best(outputs.best, study, best, space)
    write_json(_figures(study, trials, best), outputs.report)
    return best


def _figures(
    study: optuna.Study, trials: list[FrozenTrial], best: FrozenTrial | None
) -> dict[str, Any]:
    states = [trial.state for trial in trials]
    figures: dict[str, Any] = {"study": study.study_name} | {
        state.name.lower(): states.count(state)
        for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    }
    figures["beyond_margin"] = sum(t.user_attrs.get(FEASIBLE) is False for t in trials)
    figures["retention_before"] = study.user_attrs[RETENTION]
    if best:
        figures["best"] = {name: best.user_attrs[name] for name in _COLUMNS[:3]}
    return figures


def best_trial(trials: list[FrozenTrial]) -> FrozenTrial | None:
    """The lowest objective among the trials that kept their text."""
    return min(ranked(trials), key=_objective, default=None)


def ranked(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """Complete trials that kept their text, the best first."""
    return sorted((trial for trial in trials if trial.user_attrs.get(FEASIBLE)), key=_objective)


def _objective(trial: FrozenTrial) -> float:
    value: float = trial.user_attrs["objective"]
    return value


def _write_table(file: Path, trials: list[FrozenTrial], names: list[str]) -> None:
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        writer.writerow(["trial", "state", *names, *_COLUMNS, *_MORE])
        for trial in trials:
            found = trial.user_attrs
            settings = [found.get("params", {}).get(name) for name in names]
            figures = [_short(found.get(name)) for name in _COLUMNS]
            more = [found.get(name) for name in _MORE]
            writer.writerow([trial.number, trial.state.name, *settings, *figures, *more])


def _short(value: Any) -> Any:
    return f"{value:.4f}" if isinstance(value, float) else value


def _write_best(file: Path, study: optuna.Study, best: FrozenTrial, space: Space) -> None:
    settings: dict[str, dict[str, Any]] = {}
    for name, value in best.user_attrs["params"].items():
        section, setting = name.split(".")
        settings.setdefault(section, {})[setting] = value
    sweep, found = space.params.sweep, best.user_attrs
    file.write_text(
        f"# Trial {best.number} of {study.study_name}: {sweep.objective} {found['objective']:.4f}, "
        f"{sweep.retention} {found['retention']:.4f} ({found['retention_change']:+.4f}).\n"
        "# `voxtwist sweep apply` writes these into params.yaml.\n"
        + yaml.safe_dump(settings, sort_keys=False),
        encoding="utf-8",
    )


def _keep(study: optuna.Study, artifacts: Path, outputs: Outputs) -> None:
    """The study as one journal, wherever it was kept, and its audio."""
    optuna.copy_study(
        from_study_name=study.study_name,
        from_storage=study._storage,
        to_storage=open_storage(outputs.journal),
    )
    if artifacts.exists():
        shutil.copytree(artifacts, outputs.artifacts)
