"""promotions.jsonl: every promotion and rollback, one line each, kept in git.

The registry says where an alias points; the ledger says who moved it, when, from where, and on
what evidence. Lines are only ever appended.
"""

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import orjson

from voxtwist.errors import VoxtwistError

LEDGER = "promotions.jsonl"


@dataclass(frozen=True)
class Entry:
    """One line.

    Attributes:
        when: UTC, ISO 8601.
        before, after: versions that the alias pointed at; None for none.
        candidate: of a promotion, the version without weights that `after` was packaged from.
        gates: of a promotion, what each measured, required and found.
        override: why gates that did not pass were overruled.
        undoes: of a rollback, `when` of the promotion.
    """

    action: Literal["promote", "rollback"]
    who: str
    when: str
    model: str
    alias: str
    before: str | None
    after: str | None
    candidate: str | None = None
    run_id: str | None = None
    commit: str | None = None
    gates: list[dict[str, Any]] = field(default_factory=list)
    override: str | None = None
    undoes: str | None = None


def read(ledger: Path) -> list[Entry]:
    """All entries, oldest first; none when there is no ledger.

    Raises:
        VoxtwistError: a line is not an entry.
    """
    if not ledger.exists():
        return []
    entries = []
    for number, line in enumerate(ledger.read_bytes().splitlines(), start=1):
        try:
            entries.append(Entry(**orjson.loads(line)))
        except (orjson.JSONDecodeError, TypeError) as error:
            raise VoxtwistError(
                f"{ledger} line {number} is no entry of the ledger: {error}"
            ) from None
    return entries


def append(ledger: Path, entry: Entry) -> None:
    with ledger.open("ab") as file:
        file.write(orjson.dumps(asdict(entry)) + b"\n")


def last_promotion(entries: list[Entry], model: str) -> Entry | None:
    """The newest promotion of a model that no rollback has undone."""
    undone = {entry.undoes for entry in entries if entry.action == "rollback"}
    standing = (
        entry
        for entry in reversed(entries)
        if entry.action == "promote" and entry.model == model and entry.when not in undone
    )
    return next(standing, None)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
