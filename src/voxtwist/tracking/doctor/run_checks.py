"""Do the runs say the truth, and has all that they logged arrived?"""

import time
from collections.abc import Iterator

from mlflow import MlflowClient
from mlflow.entities import Run

from voxtwist.tracking.doctor.finding import Finding
from voxtwist.tracking.query import all_runs
from voxtwist.tracking.runs import process_of, resume_run
from voxtwist.tracking.store import Store


def running(store: Store, silent_minutes: float) -> tuple[list[Run], list[tuple[Run, str]]]:
    """Runs that say RUNNING: those that may be alive, and the stale ones with the reason."""
    alive, stale = [], []
    for run in all_runs(store, "attributes.status = 'RUNNING'"):
        reason = why_stale(store.client, run, silent_minutes)
        if reason is None:
            alive.append(run)
        else:
            stale.append((run, reason))
    return alive, stale


def stale_runs(store: Store, stale: list[tuple[Run, str]]) -> Iterator[Finding]:
    for run, reason in stale:

        def close(run_id: str = run.info.run_id) -> str:
            store.client.set_terminated(run_id, "KILLED")
            return "closed as KILLED"

        yield Finding(
            "stale run",
            f"run {run.info.run_id} {run.info.run_name!r} says RUNNING, but {reason}",
            "--fix closes it as KILLED; `dvc repro` resumes its training in the same run",
            mend=close,
        )


def unsent_metrics(store: Store, alive: list[Run]) -> Iterator[Finding]:
    """Spools that nobody will send by himself; a living run looks after its own."""
    living = {run.info.run_id for run in alive}
    for spool in sorted(store.spool.glob("*.json")):
        if spool.stem in living:
            continue

        def send(run_id: str = spool.stem) -> str:
            with resume_run(store, run_id):
                pass
            return "sent"

        yield Finding(
            "unsent metrics",
            f"{spool} holds metrics that MLflow did not take",
            "--fix sends them; so does the next evaluation of the run",
            mend=send,
        )


def why_stale(client: MlflowClient, run: Run, silent_minutes: float) -> str | None:
    """Why a RUNNING run will never end by itself, or None while it may be alive.

    On the run's own host the process table answers. From elsewhere only its silence tells: a living
    training sends system metrics every ten seconds.

    Args:
        silent_minutes: a run of another host, or without the tags, may go that long without any
            metric. A server that was away, or a laptop that slept, makes a living run silent too.
    """
    process = process_of(run.data.tags)
    if process and process.is_here:
        return None if process.is_alive() else f"its process {process.pid} is gone"
    silent = (time.time() - _last_sign(client, run)) / 60
    if silent < silent_minutes:
        return None
    return f"no metric for {silent:.0f} minutes"


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
