"""Names of the files beside an SFT file, and writing that cannot leave half a file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def rows_path(jsonl: Path) -> Path:
    """The table that says for every line of an SFT file where it comes from."""
    return jsonl.with_suffix(".rows.parquet")


def rejected_path(jsonl: Path) -> Path:
    """The rows that were left out of an SFT file, with reasons."""
    return jsonl.with_name("rejected.jsonl")


@contextmanager
def writing(target: Path) -> Iterator[Path]:
    """A temporary path that becomes `target` when its block ends well."""
    temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, data: bytes) -> None:
    with writing(path) as temporary:
        temporary.write_bytes(data)
