"""Whether the process behind a run that says RUNNING is still there.

A killed process (kill -9, a lost node) cannot close its run. A run names its host and process, so
on that host the process table answers; from elsewhere only its silence tells: a living training
sends system metrics every ten seconds.
"""

import os
import platform
import time

import psutil
from mlflow import MlflowClient
from mlflow.entities import Run

HOST, PROCESS, STARTED = "process.host", "process.id", "process.started"


def tags() -> dict[str, str]:
    """This process; its start tells it from a later one of the same number."""
    process = psutil.Process()
    return {
        HOST: platform.node(),
        PROCESS: str(os.getpid()),
        STARTED: f"{process.create_time():.0f}",
    }


def why_stale(client: MlflowClient, run: Run, silent_minutes: float) -> str | None:
    """Why a RUNNING run will never end by itself, or None while it may be alive.

    Args:
        silent_minutes: a run of another host, or without the tags, may go that long without any
            metric. A server that was away, or a laptop that slept, makes a living run silent too.
    """
    tags = run.data.tags
    if tags.get(HOST) == platform.node() and PROCESS in tags:
        return None if _alive(tags) else f"its process {tags[PROCESS]} is gone"
    silent = (time.time() - _last_sign(client, run)) / 60
    if silent < silent_minutes:
        return None
    return f"no metric for {silent:.0f} minutes"


def _alive(tags: dict[str, str]) -> bool:
    try:
        process = psutil.Process(int(tags[PROCESS]))
        started = process.create_time()
        zombie = process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    # The kernel's clock ticks and the boot time that create_time rests on may shift a little.
    return not zombie and abs(started - float(tags[STARTED])) < 5


def _last_sign(client: MlflowClient, run: Run) -> float:
    """Seconds since the epoch of the newest metric of the run or of those nested under it."""
    nested = client.search_runs(
        [run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run.info.run_id}'"
    )
    return max(_last_metric(client, one) for one in (run, *nested))


def _last_metric(client: MlflowClient, run: Run) -> float:
    """Seconds since the epoch of the run's newest metric, or of its start."""
    system = [name for name in run.data.metrics if name.startswith("system/")]
    # System metrics come all at once: one of them answers for all.
    asked = system[:1] or list(run.data.metrics)
    times = [
        metric.timestamp
        for name in asked
        for metric in client.get_metric_history(run.info.run_id, name)
    ]
    return float(max([run.info.start_time, *times])) / 1000
