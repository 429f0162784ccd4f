"""Who runs a trial, and whether they still do."""

import platform
import threading
import time

import optuna
import psutil
from optuna.trial import FrozenTrial

OWNER, BEAT = "owner", "beat"
EVERY = 60.0  # seconds between two signs of life
SILENCE = 600.0  # seconds without one, after which a worker of another machine is dead


def own(trial: optuna.Trial) -> None:
    """Sign a trial as this process's."""
    process = psutil.Process()
    trial.set_user_attr(OWNER, [platform.node(), process.pid, process.create_time()])
    trial.set_user_attr(BEAT, time.time())


def is_dead(trial: FrozenTrial) -> bool:
    """Whether nobody runs a trial any more that is marked as running.

    On this machine its process is looked for, on others the last sign of life counts.
    """
    node, pid, created = trial.user_attrs.get(OWNER, [None, 0, 0.0])
    if node == platform.node():
        return not _is_alive(pid, created)
    started = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
    return time.time() - trial.user_attrs.get(BEAT, started) > SILENCE


def _is_alive(pid: int, created: float) -> bool:
    try:
        process = psutil.Process(pid)
        # Process ids are given anew, and a killed child stays as a zombie until it is waited for.
        return abs(process.create_time() - created) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Heartbeat:
    """Gives signs of life for a trial inside a `with`, for workers of other machines."""

    def __init__(self, trial: optuna.Trial) -> None:
        self._trial, self._over = trial, threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True, name="Heartbeat")

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._over.wait(EVERY):
            self._trial.set_user_attr(BEAT, time.time())
