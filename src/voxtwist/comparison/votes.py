"""Votes of a blind comparison: read, counted with a sign test, and added to both models' runs."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from scipy.stats import binomtest

from voxtwist.errors import VoxtwistError
from voxtwist.pages.blind import Choice, Key
from voxtwist.tracking.runs import resume_run
from voxtwist.tracking.store import Store

LIMIT = 200  # characters of a listener's name


@dataclass(frozen=True)
class Vote:
    """Attributes:
    question: its id on the page.
    at: when, ISO 8601, by the listener's clock.
    """

    comparison: str
    listener: str
    question: str
    choice: Choice
    at: str


@dataclass(frozen=True)
class VoteCount:
    """Votes counted by question: each goes to the model that more listeners preferred.

    Attributes:
        first, second: run ids.
        won, lost: questions that went to the first, or to the second; `even` to neither.
        p_value: exact two-sided sign test that either is as likely.
    """

    first: str
    second: str
    won: int
    lost: int
    even: int
    votes: int
    listeners: int
    p_value: float


def check_vote(value: Any, key: Key, where: str) -> Vote:
    """A vote out of JSON.

    Raises:
        VoxtwistError: it is no vote, or not one of this comparison.
    """
    fields = Vote.__dataclass_fields__
    if not isinstance(value, dict) or set(value) != set(fields):
        raise VoxtwistError(f"{where} is no vote: it must have {', '.join(fields)}")
    if not all(isinstance(part, str) and len(part) <= LIMIT for part in value.values()):
        raise VoxtwistError(f"{where}: every field must be a text of at most {LIMIT} characters")
    if value["comparison"] != key.comparison:
        raise VoxtwistError(
            f"{where} belongs to the page {value['comparison']}, the key to {key.comparison}"
        )
    if value["question"] not in key.questions or value["choice"] not in get_args(Choice):
        raise VoxtwistError(f"{where}: the page has no {value['question']} or {value['choice']!r}")
    return Vote(**value)


def read_votes(files: Iterable[Path], key: Key) -> list[Vote]:
    """The latest vote of each listener on each question, from .json lists or .jsonl files.

    Raises:
        VoxtwistError: a file cannot be read, or holds something else.
    """
    latest: dict[tuple[str, str], Vote] = {}
    for file in files:
        for number, value in enumerate(_values(file), start=1):
            vote = check_vote(value, key, f"{file} vote {number}")
            latest[vote.listener, vote.question] = vote
    if not latest:
        raise VoxtwistError("there are no votes in it yet")
    return list(latest.values())


def count(votes: Sequence[Vote], key: Key) -> VoteCount:
    """Count by question, as several listeners' votes on one question are not independent."""
    first, second = key.models
    leads: dict[str, int] = {}
    for vote in votes:
        runs = key.questions[vote.question]
        lead = 0 if vote.choice == "even" else 1 if runs[vote.choice] == first else -1
        leads[vote.question] = leads.get(vote.question, 0) + lead
    won, lost = (sum(sign * lead > 0 for lead in leads.values()) for sign in (1, -1))
    return VoteCount(
        first=first,
        second=second,
        won=won,
        lost=lost,
        even=len(leads) - won - lost,
        votes=len(votes),
        listeners=len({vote.listener for vote in votes}),
        p_value=float(binomtest(won, won + lost).pvalue) if won + lost else 1.0,
    )


def add_votes(store: Store, votes: Sequence[Vote], key: Key) -> VoteCount:
    """Log the verdict into both runs: metrics and tags below `listening`, and votes and key."""
    verdict = count(votes, key)
    record = {
        "key": asdict(key),
        "votes": [asdict(vote) for vote in votes],
        "verdict": asdict(verdict),
    }
    sides = (
        (verdict.first, verdict.second, verdict.won, verdict.lost),
        (verdict.second, verdict.first, verdict.lost, verdict.won),
    )
    for run_id, other, won, lost in sides:
        with resume_run(store, run_id) as run:
            figures = {"won": won, "lost": lost, "even": verdict.even, "p_value": verdict.p_value}
            run.log_metrics({f"listening/{name}": float(n) for name, n in figures.items()})
            run.set_tags({"listening.comparison": key.comparison, "listening.against": other})
            run.log_text(json.dumps(record, indent=2), f"listening/{key.comparison}.json")
    return verdict


def _values(file: Path) -> list[Any]:
    try:
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".jsonl":
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        values = json.loads(text)
    except (OSError, ValueError) as error:
        raise VoxtwistError(f"{file} holds no votes: {error}") from None
    if not isinstance(values, list):
        raise VoxtwistError(f"{file} holds no list of votes")
    return values
