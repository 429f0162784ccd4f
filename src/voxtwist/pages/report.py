"""The report of one model: what it gained and lost, on one HTML page to send to a colleague.

Text before and after in pairs, learning curves, the errors of its speech, its best and worst
answers to listen to, and at the end what one must know to measure the same again.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from voxtwist.errors import VoxtwistError
from voxtwist.evaluation.speech.questions import HELD_OUT
from voxtwist.evaluation.text.table import read_questions
from voxtwist.pages.charts import error_histogram, line_chart
from voxtwist.pages.listening import Card, Group, read_groups
from voxtwist.pages.page import write_page
from voxtwist.pages.plot_files import Curve

SHOWN = 3  # best and worst answers of each part
LOSSES = {"text": "Loss of text tokens", "speech": "Loss of speech tokens"}  # nats per token
Curves = Mapping[str, Mapping[str, Curve]]


@dataclass(frozen=True)
class TextRow:
    """One figure of the text suites: the shares of right answers, and the change by fine-tuning.

    Attributes:
        base: of the text model before it had a speech vocabulary.
        change: as `PairedComparison.as_dict`.
        minor: of a task whose group has a row of its own.
    """

    name: str
    base: float
    change: dict[str, float]
    minor: bool

    @property
    def clear(self) -> str:
        """ "better" or "worse" where the interval says so, else nothing."""
        return "better" if self.change["low"] > 0 else "worse" if self.change["high"] < 0 else ""


@dataclass(frozen=True)
class Extremes:
    """The answers of one part with the fewest and the most word errors."""

    group: Group
    best: list[Card]
    worst: list[Card]


def write_report(
    page: Path,
    title: str,
    metrics: Mapping[str, dict[str, Any]],
    samples: Path,
    curves: Curves,
    settings: Mapping[str, Any],
) -> None:
    """Write the page.

    Args:
        title: what model this is.
        metrics: of metrics/text_sft.json and metrics/speech.json, as "text" and "speech".
        samples: folder with `text_sft` and `speech`, as the evaluation stages write them.
        curves: by "text" and "speech", and below by name ("training", "heldout").
        settings: printed at the end.

    Raises:
        VoxtwistError: a file of the evaluation is missing.
    """
    details = samples / "text_sft" / "details.json"
    if not details.exists():
        raise VoxtwistError(f"{details} is missing: run evaluate_text_sft")
    groups = read_groups(samples / "speech", metrics["speech"])
    text = list(text_rows(metrics["text"], samples / "text_sft"))
    write_page(
        page,
        "report.html.jinja",
        title=title,
        text=[row for row in text if not row.minor],
        tasks=[row for row in text if row.minor],
        leaks=_leaks(metrics["text"]),
        losses=[
            Markup(line_chart(f"{LOSSES[kind]} (nats)", lines)) for kind, lines in curves.items()
        ],
        groups=groups,
        errors=[Markup(chart) for chart in _error_charts(groups)],
        extremes=[find_extremes(group) for group in groups if group.anchor.startswith(HELD_OUT)],
        speech=metrics["speech"],
        details=json.loads(details.read_bytes()),
        settings=settings,
    )


def text_rows(metrics: Mapping[str, Any], questions: Path) -> Iterator[TextRow]:
    """All that was compared in pairs, groups before their tasks."""
    grouped = {row["task"] for row in read_questions(questions) if row["groups"]}
    rows = []
    for name, change in metrics["comparison"].items():
        task = next((t for t in grouped if name.startswith(f"{t}/")), None)
        base = metrics["comparison_to_base"][name]["before"]
        rows.append(TextRow(name, base, change, minor=task is not None))
    yield from sorted(rows, key=lambda row: row.minor)


def find_extremes(group: Group, shown: int = SHOWN) -> Extremes:
    """No answer is among both the best and the worst."""
    ranked = sorted(group.cards, key=lambda card: card.error_rate)
    n = min(shown, len(ranked) // 2)
    return Extremes(group, ranked[:n], ranked[len(ranked) - n :][::-1])


def _leaks(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Mean probability of speech where text is written, by suite."""
    suffix = "/leaked_mass"
    return {
        name.removesuffix(suffix): value for name, value in metrics.items() if name.endswith(suffix)
    }


def _error_charts(groups: list[Group]) -> Iterator[str]:
    """One histogram a part: held out, taught, and what the recogniser makes of the data itself."""
    parts: dict[str, dict[str, list[float]]] = {}
    for group in groups:
        rates = [card.error_rate for card in group.cards]
        parts.setdefault(group.part, {})[group.heading.lower()] = rates
        if group.anchor.startswith(HELD_OUT):
            ceiling = [card.row["reference_words"] for card in group.cards]
            rates = [words["errors"] / words["length"] for words in ceiling]
            parts[group.part]["data, held out"] = rates
    for part, by_group in parts.items():
        yield error_histogram(f"Word errors, {part}", by_group)
