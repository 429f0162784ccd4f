"""Pictures of a study: Optuna's own, and what speech costs in text."""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import optuna
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from optuna.trial import FrozenTrial, TrialState
from optuna.visualization import matplotlib as optuna_plots

from voxtwist.params import Sweep
from voxtwist.sweep.runs import FEASIBLE

_OF_OPTUNA: Mapping[str, Callable[..., Any]] = {
    "history": optuna_plots.plot_optimization_history,
    "importance": optuna_plots.plot_param_importances,
    "parallel_coordinates": optuna_plots.plot_parallel_coordinate,
    "slice": optuna_plots.plot_slice,
}


def write_plots(
    study: optuna.Study, settings: Sweep, trials: list[FrozenTrial], folder: Path
) -> None:
    """PNG files `history`, `importance`, `parallel_coordinates`, `slice` and `pareto`.

    Those that show what makes a difference need two complete trials.
    """
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    target = _objective if settings.pareto else None  # where there are two, Optuna wants to know
    if len(complete) >= 2:
        for name, plot in _OF_OPTUNA.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # experimental, and what a low value means
                axes = plot(study, target=target, target_name=settings.objective)
            for part in np.ravel(axes):
                if part.get_xscale() == "log":  # the labels between powers of ten overlap
                    part.xaxis.set_minor_formatter(NullFormatter())
            _save(_wide(axes, len(settings.space)), folder / f"{name}.png")
    _save(pareto(settings, complete), folder / "pareto.png")


def pareto(settings: Sweep, complete: list[FrozenTrial]) -> Figure:
    """Objective against the change in retention, the margin, and the front of the best trades."""
    figure, axes = plt.subplots(figsize=(6.4, 4.8))
    for feasible, colour, label in (
        (True, "tab:blue", "within the margin"),
        (False, "tab:red", "beyond the margin"),
    ):
        chosen = [_point(t) for t in complete if t.user_attrs[FEASIBLE] is feasible]
        if chosen:
            axes.scatter(*zip(*chosen, strict=True), color=colour, label=label, zorder=2)
    for trial in complete:
        axes.annotate(
            str(trial.number), _point(trial), textcoords="offset points", xytext=(4, 4), fontsize=8
        )
    front = pareto_front([_point(trial) for trial in complete])
    axes.plot(*zip(*front, strict=True) if front else ([], []), color="0.6", zorder=1)
    axes.axvline(settings.margin, color="tab:red", linestyle=":", label="margin")
    axes.set(
        xlabel=f"change in {settings.retention} (further right: more forgotten)",
        ylabel=f"{settings.objective} (lower is better)",
        title="What speech costs in text",
    )
    axes.legend()
    return figure


def pareto_front(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no other beats in both, both minimised, from left to right."""
    front: list[tuple[float, float]] = []
    for point in sorted(points):
        if not front or point[1] < front[-1][1]:
            front.append(point)
    return front


def _point(trial: FrozenTrial) -> tuple[float, float]:
    return trial.user_attrs["retention_change"], trial.user_attrs["objective"]


def _objective(trial: FrozenTrial) -> float:
    value: float = trial.values[0]
    return value


def _wide(axes: Any, settings: int) -> Figure:
    """The figure of Optuna's axes; where each setting has its own, with room for all of them."""
    if hasattr(axes, "flat"):  # slice: side by side
        for one in axes.flat:
            one.tick_params(axis="x", labelrotation=30)
        figure: Figure = axes.flat[0].figure
        figure.set_size_inches(3.5 * settings + 1, 4)
        return figure
    figure = axes.figure
    if len(figure.axes) > settings:  # parallel coordinates: one scale each
        figure.set_size_inches(2.5 * settings + 1, 5)
    return figure


def _save(figure: Figure, file: Path) -> None:
    figure.savefig(file, dpi=110, bbox_inches="tight")
    plt.close(figure)
