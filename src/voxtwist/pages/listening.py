"""One HTML page to judge speech by ear: question, text, audio, and what a recogniser heard.

The page carries its audio (Opus, as base64) and needs no scripts, so it also works inside MLflow's
sandboxed frame, from a mail, or offline.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson

from voxtwist.codec.audio import embed_audio
from voxtwist.errors import VoxtwistError
from voxtwist.evaluation.speech.wer import Span, align_words
from voxtwist.pages.page import write_page

HEADINGS = {"heldout": "Held out", "taught": "Taught"}
# What the page shows of every group: name of the figure, label, format, and whether to print it
# beside the data's own speech.
_FIGURES = [
    ("wer", "Word error rate", "{:.1%}", "reference_wer"),
    ("text_exact", "Text as in the data", "{:.0%}", None),
    ("well_formed", "Well formed", "{:.0%}", None),
    ("runaway", "Runaways", "{:.0%}", None),
    ("dnsmos", "DNSMOS", "{:.2f}", "reference_dnsmos"),
    ("seconds", "Seconds", "{:.1f}", None),
]


@dataclass(frozen=True)
class Card:
    """One answer as it is shown: a row of samples.jsonl, and the folder with its audio."""

    row: dict[str, Any]
    samples: Path

    @cached_property
    def audio(self) -> str | None:
        """The answer's sound as a data URL; None without speech."""
        file = self.samples / f"{self.row['id']}.flac"
        return embed_audio(file) if file.exists() else None

    @property
    def spans(self) -> list[Span]:
        return align_words(self.row["text"], self.row["transcript"])

    @property
    def error_rate(self) -> float:
        words: dict[str, int] = self.row["words"]
        return words["errors"] / words["length"]


@dataclass(frozen=True)
class Tile:
    """A figure of a group: label, value, 95 % interval, and that of the data's own speech."""

    label: str
    value: str
    interval: str
    reference: str | None


@dataclass(frozen=True)
class Group:
    """Answers of one corpus part, held out or taught."""

    heading: str
    part: str
    anchor: str
    tiles: list[Tile]
    cards: list[Card]


def write_listening_page(page: Path, samples: Path, metrics: dict[str, Any], title: str) -> None:
    """Write the page.

    Args:
        samples: folder that `evaluate_speech` wrote: samples.jsonl and FLAC files.
        metrics: of metrics/speech.json.
        title: what model this is.

    Raises:
        VoxtwistError: samples.jsonl is missing.
    """
    write_page(
        page,
        "listening.html.jinja",
        title=title,
        groups=read_groups(samples, metrics),
    )


def read_groups(samples: Path, metrics: dict[str, Any]) -> list[Group]:
    """What `evaluate_speech` wrote, by part, held out and taught; see `write_listening_page`."""
    table = samples / "samples.jsonl"
    if not table.exists():
        raise VoxtwistError(f"{table} is missing: run evaluate_speech")
    return _groups(
        [orjson.loads(line) for line in table.read_bytes().splitlines()], samples, metrics
    )


def _groups(rows: Sequence[dict[str, Any]], samples: Path, metrics: dict[str, Any]) -> list[Group]:
    members: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        members.setdefault((row["group"], row["part"]), []).append(row)
    return [
        Group(
            heading=HEADINGS[group],
            part=part,
            anchor=f"{group}-{part}",
            tiles=make_tiles(f"{group}/{part}", metrics),
            cards=[Card(row, samples) for row in part_rows],
        )
        for (group, part), part_rows in members.items()
    ]


def make_tiles(group: str, metrics: dict[str, Any]) -> list[Tile]:
    """The figures of a group that metrics/speech.json holds."""
    tiles = []
    for name, label, form, reference in _FIGURES:
        key = f"{group}/{name}"
        if key in metrics:
            low, high, _ = metrics["intervals"][key]
            tiles.append(
                Tile(
                    label=label,
                    value=form.format(metrics[key]),
                    interval=f"{form.format(low)} – {form.format(high)}",
                    reference=form.format(metrics[f"{group}/{reference}"]) if reference else None,
                )
            )
    return tiles
