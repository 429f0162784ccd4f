"""All checks of `voxtwist doctor`, in the order in which they depend on each other."""

from pathlib import Path

from mlflow.entities import Run

from voxtwist.errors import VoxtwistError
from voxtwist.params import Params
from voxtwist.tracking.doctor.finding import Finding
from voxtwist.tracking.doctor.lineage_checks import lineage_tags
from voxtwist.tracking.doctor.pipeline_checks import disk, leftovers, lock
from voxtwist.tracking.doctor.run_checks import running, stale_runs, unsent_metrics
from voxtwist.tracking.doctor.store_checks import legacy_runs, reachable, schema
from voxtwist.tracking.objects import Objects


def examine(root: Path, params: Params, silent_minutes: float) -> list[Finding]:
    """What is wrong with the project at `root`, and what is worth knowing. Changes nothing.

    Args:
        silent_minutes: see `why_stale`.
    """
    findings = list(legacy_runs(root))
    old_tables = list(schema(root))
    findings += old_tables
    store = None
    if not old_tables:  # it could not be opened
        store, problems = reachable(root, params.tracking.experiment)
        findings += problems
    try:
        objects = Objects(root)
    except VoxtwistError as error:
        return [*findings, Finding("dvc", str(error), "`dvc init`, or run from the project")]
    alive: list[Run] = []
    if store is not None:
        alive, stale = running(store, silent_minutes)
        findings += stale_runs(store, stale)
        findings += unsent_metrics(store, alive)
        findings += lineage_tags(root, store, objects)
    findings += lock(root)
    findings += disk(root, objects.cache_folder)
    findings += leftovers(root, alive)
    return findings
