"""A training that is asked to stop does so between two steps, with its state saved."""

import signal
import threading
import time
from types import FrameType

EX_TEMPFAIL = 75  # of sysexits.h: the task is not done, run it again
TERMINATED = "SIGTERM"


class Stopped(SystemExit):
    """Training has saved its state and is to be run again; the process exits with 75."""

    def __init__(self, reason: str, step: int, steps: int) -> None:
        super().__init__(EX_TEMPFAIL)
        self.reason, self.step = reason, step
        self.message = (
            f"training stopped after step {step} of {steps} ({reason}), its state is saved: "
            "run the same command again to go on"
        )


class StopRequest:
    """Watches, inside a `with`, for what ends a training early.

    SIGTERM (SLURM, a spot machine) no longer kills the process, which would be in the middle of a
    step; `reason` is asked after each.
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
