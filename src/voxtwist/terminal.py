"""What a user sees on the terminal: errors in one line instead of a stack trace, and progress."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

from voxtwist.credentials import masked
from voxtwist.errors import VoxtwistError
from voxtwist.interrupt import Stopped


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Print a VoxtwistError as one line on stderr and exit with code 1.

    A training that was asked to stop says so, and exits with its own code.
    """
    try:
        yield
    except VoxtwistError as error:
        Console(stderr=True, soft_wrap=True).print(
            Text(masked(f"error: {error}"), style="bold red")
        )
        raise SystemExit(1) from None
    except Stopped as stop:
        if os.environ.get("RANK", "0") == "0":  # of many processes one says it
            Console(stderr=True, soft_wrap=True).print(Text(stop.message, style="bold yellow"))
        raise


@contextmanager
def progress_bar(title: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar on stderr; yields a function that moves it on."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield lambda done: progress.advance(task, done)
