"""One page for many models: the same questions, and each one's answer to see and hear."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voxtwist.errors import VoxtwistError
from voxtwist.pages.listening import HEADINGS, Card, Tile, make_tiles
from voxtwist.pages.page import write_page

Question = tuple[str, str, str]  # group, part, question


@dataclass(frozen=True)
class Side:
    """One model.

    Attributes:
        name: as people know it: the run's name, and the version when asked for by one.
        samples: folder of `evaluate_speech`, with samples.jsonl and FLAC files.
        rows: of samples.jsonl, by question.
        metrics: as of metrics/speech.json.
        text: accuracy of each metric of `promotion.text_metrics`.
    """

    name: str
    run_id: str
    samples: Path
    rows: dict[Question, dict[str, Any]]
    metrics: dict[str, Any]
    text: list[Tile]


@dataclass(frozen=True)
class Row:
    """A figure per model; None where it was not measured."""

    label: str
    tiles: list[Tile | None]


@dataclass(frozen=True)
class Asked:
    """A question, the data's own answer, and the models' in the order of the page."""

    question: str
    answer: str
    cards: list[Card]


@dataclass(frozen=True)
class ComparedGroup:
    """Questions of one corpus part, held out or taught, and the figures over them."""

    heading: str
    anchor: str
    figures: list[Row]
    asked: list[Asked]


def write_comparison(page: Path, sides: Sequence[Side]) -> None:
    """Write the page; see `shared_questions` for what is refused."""
    questions = shared_questions(sides)
    parts = dict.fromkeys((group, part) for group, part, _ in questions)
    groups = [
        ComparedGroup(
            heading=f"{HEADINGS[group]}: {part}",
            anchor=f"{group}-{part}",
            figures=_figures([make_tiles(f"{group}/{part}", side.metrics) for side in sides]),
            asked=[ask(question, sides) for question in questions if question[:2] == (group, part)],
        )
        for group, part in parts
    ]
    text = _figures([side.text for side in sides])
    title = " · ".join(side.name for side in sides)
    write_page(page, "comparison.html.jinja", title=title, sides=sides, text=text, groups=groups)


def shared_questions(sides: Sequence[Side]) -> list[Question]:
    """What every side was asked, in the first one's order.

    Raises:
        VoxtwistError: they have no question in common.
    """
    shared = [
        question for question in sides[0].rows if all(question in side.rows for side in sides[1:])
    ]
    if not shared:
        raise VoxtwistError(
            "the models have no question in common: evaluate them on the same splits, with the "
            "same seed"
        )
    return shared


def ask(question: Question, sides: Sequence[Side]) -> Asked:
    rows = [side.rows[question] for side in sides]
    cards = [Card(row, side.samples) for row, side in zip(rows, sides, strict=True)]
    return Asked(question[2], rows[0]["answer"], cards)


def _figures(columns: Sequence[Sequence[Tile]]) -> list[Row]:
    labels = dict.fromkeys(tile.label for tiles in columns for tile in tiles)
    by_label = [{tile.label: tile for tile in tiles} for tiles in columns]
    return [Row(label, [tiles.get(label) for tiles in by_label]) for label in labels]
