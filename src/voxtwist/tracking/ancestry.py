"""Where a model comes from, and which models came from some data: plain values for JSON."""

from collections.abc import Iterable
from typing import Any

from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion

from voxtwist.tracking.objects import Objects
from voxtwist.tracking.query import Model, aliases, all_runs, all_versions, hashes_of
from voxtwist.tracking.runs import RECREATES, RESTORED_FROM
from voxtwist.tracking.store import Store

Document = dict[str, Any]


def of_model(store: Store, objects: Objects, model: Model) -> Document:
    """Everything known about a run's model.

    Returns:
        `run`, `versions` (with `aliases`), `data` (of each input and the checkpoint: `md5`, `path`,
        `where` it is now, and `files` with their hashes), `code`, `dvc`, `settings`, `software`,
        `hardware`. `where` is None when the bytes are found nowhere, `files` empty for a single
        file and where the listing is not in the cache.
    """
    run = model.run
    # Registration tags the version with the checkpoint, whatever happens to the run's tags.
    tags = {**run.data.tags, **(model.version.tags if model.version else {})}
    digests = hashes_of(tags)
    places = objects.where(digests.values())
    return {
        "run": _run(run),
        "versions": [
            _version(store, version)
            for version in all_versions(store, f"run_id = '{run.info.run_id}'")
        ],
        "data": {
            name: {
                "md5": digest,
                "path": tags.get(f"path.{name}"),
                "where": places.get(digest),
                "files": objects.files(digest),
            }
            for name, digest in digests.items()
        },
        "code": {
            "commit": tags.get("git.commit"),
            "dirty": tags.get("git.dirty") == "true",
        },
        "dvc": _group(tags, "dvc."),
        "settings": dict(sorted(run.data.params.items())),
        "software": _group(tags, "version."),
        "hardware": _group(tags, "hardware."),
    }


def of_data(store: Store, objects: Objects, digest: str) -> Document:
    """Every run and version that used some data: a hash of its tags, or a file inside of one.

    Returns:
        `md5`, and `runs` and `versions`, each with `used_as`: the names of the inputs that are the
        data or hold it, for example `["raw"]`.
    """
    inside: dict[str, bool] = {}

    def holds(whole: str) -> bool:
        if whole not in inside:
            inside[whole] = whole == digest or digest in objects.files(whole).values()
        return inside[whole]

    def used_as(tags: dict[str, str]) -> list[str]:
        return sorted(name for name, whole in hashes_of(tags).items() if holds(whole))

    runs = [(run, used_as(run.data.tags)) for run in all_runs(store)]
    versions = [(version, used_as(version.tags)) for version in all_versions(store)]
    return {
        "md5": digest,
        "runs": [_run(run) | {"used_as": roles} for run, roles in runs if roles],
        "versions": [
            _version(store, version) | {"used_as": roles} for version, roles in versions if roles
        ],
    }


def _run(run: Run) -> Document:
    tags = run.data.tags
    links = {
        "parent": tags.get("mlflow.parentRunId"),
        "recreates": tags.get(RECREATES),
        "restored_from": tags.get(RESTORED_FROM),
    }
    return {
        "id": run.info.run_id,
        "name": run.info.run_name,
        "status": run.info.status,
        "started": run.info.start_time,
        **{name: value for name, value in links.items() if value},
    }


def _version(store: Store, version: ModelVersion) -> Document:
    return {
        "model": version.name,
        "version": int(version.version),
        "aliases": aliases(store.client, version),
        "run": version.run_id,
    }


def _group(tags: dict[str, str], prefix: str) -> dict[str, str]:
    return {
        name.removeprefix(prefix): value
        for name, value in sorted(tags.items())
        if name.startswith(prefix)
    }


def names(versions: Iterable[Document]) -> str:
    """`voxtwist version 3 (@champion)`."""
    return ", ".join(
        f"{v['model']} version {v['version']}"
        + (f" ({', '.join('@' + alias for alias in v['aliases'])})" if v["aliases"] else "")
        for v in versions
    )
