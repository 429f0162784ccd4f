"""SIGTERM and time limits: how a run ends early without losing its work.

SLURM, a spot machine or `docker stop` sends SIGTERM and kills the process some seconds later. There
are two answers to it. A training finishes its step and saves its state (`StopRequest`, `Stopped`);
everything else unwinds by an exception, so that what is open gets closed (`sigterm_raises`).
"""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

EX_TEMPFAIL = 75  # of sysexits.h: the task is not done, run it again
TERMINATED = "SIGTERM"


class Terminated(SystemExit):
    """SIGTERM as an exception, so that training can save its state and the run be closed."""


class Stopped(SystemExit):
    """Training has saved its state and must be run again; the process exits with 75."""

    def __init__(self, reason: str, step: int, steps: int) -> None:
        super().__init__(EX_TEMPFAIL)
        self.reason, self.step = reason, step
        self.message = (
            f"training stopped after step {step} of {steps} ({reason}), its state is saved: "
            "run the same command again to resume"
        )


@contextlib.contextmanager
def sigterm_raises() -> Iterator[None]:
    """SIGTERM raises `Terminated` in the body, where that is in the main thread."""

    def terminate(signum: int, _frame: FrameType | None) -> None:
        raise Terminated(128 + signum)

    if threading.current_thread() is not threading.main_thread():
        yield  # Python delivers signals to the main thread only
        return
    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class StopRequest:
    """Watches, inside a `with`, for what ends a training early.

    SIGTERM no longer kills the process, which would be in the middle of a step; `reason` is asked
    after each.
    """

    def __init__(self, max_hours: float | None) -> None:
        """`max_hours`: of this process; None: no limit."""
        self._deadline = time.monotonic() + 3600 * max_hours if max_hours else None
        self._max_hours = max_hours
        self._terminated = False

    @property
    def reason(self) -> str | None:
        """Why to stop, or None."""
        if self._terminated:
            return TERMINATED
        if self._deadline is not None and time.monotonic() >= self._deadline:
            return f"train.max_hours: {self._max_hours}"
        return None

    def __enter__(self) -> "StopRequest":
        # Python delivers signals to the main thread only.
        self._handles = threading.current_thread() is threading.main_thread()
        if self._handles:
            self._before = signal.signal(signal.SIGTERM, self._terminate)
        return self

    def __exit__(self, *_: object) -> None:
        if self._handles:
            signal.signal(signal.SIGTERM, self._before)

    def _terminate(self, _signum: int, _frame: FrameType | None) -> None:
        self._terminated = True
