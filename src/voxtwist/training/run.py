"""What training asks of a tracked run, so that it knows no tracking server."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

Metrics = dict[str, float]


class Run(Protocol):
    """What training needs of a tracked run."""

    id: str

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None: ...

    def keep_metrics(self) -> None:
        """From here on, no kill loses what has been logged so far."""


class NoRun:
    """What the other processes of a distributed training log into."""

    id = ""

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        pass

    def keep_metrics(self) -> None:
        pass


OpenRun = Callable[[str | None], AbstractContextManager[Run]]
