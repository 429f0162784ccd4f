"""Do the runs say the truth, and has all that they logged arrived?"""

from collections.abc import Iterator

from mlflow.entities import Run

from voxtwist.tracking.doctor.finding import Finding
from voxtwist.tracking.liveness import why_stale
from voxtwist.tracking.query import all_runs
from voxtwist.tracking.runs import resume_run
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
            "--fix closes it as KILLED; `dvc repro` goes on with its training, in the same run",
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
