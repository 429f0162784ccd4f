"""Which process does some work, and whether it still lives.

A killed process (kill -9, a lost node) cannot say that it is gone. What it works on names its host,
its number and its start, so that any process on that host can look.
"""

import getpass
import os
import platform
from dataclasses import dataclass

import psutil

# The kernel's clock ticks and the boot time that a start is computed from shift a little.
START_TOLERANCE = 5.0  # seconds


@dataclass(frozen=True)
class Process:
    """
    Attributes:
        started: seconds since the epoch; tells a process from a later one of the same number.
    """

    host: str
    pid: int
    started: float

    @classmethod
    def current(cls) -> "Process":
        process = psutil.Process()
        return cls(platform.node(), process.pid, process.create_time())

    @property
    def is_here(self) -> bool:
        """Whether it is a process of this host, which alone can tell if it lives."""
        return self.host == platform.node()

    def is_alive(self) -> bool:
        """Whether it still runs on this host; a killed child that nobody waited for does not."""
        try:
            process = psutil.Process(self.pid)
            started, status = process.create_time(), process.status()
        except psutil.NoSuchProcess:
            return False
        return status != psutil.STATUS_ZOMBIE and abs(started - self.started) < START_TOLERANCE


def user_name() -> str:
    """The name of the account; its number where it has no name, as in many containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
