"""Does everything that runs and versions name still exist?"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from voxtwist.tracking.doctor.finding import Finding
from voxtwist.tracking.objects import Objects
from voxtwist.tracking.query import MISSING, all_runs, all_versions, hashes_of
from voxtwist.tracking.runs import PATCH
from voxtwist.tracking.store import Store
from voxtwist.vcs import knows_commit


def lineage_tags(root: Path, store: Store, objects: Objects) -> Iterator[Finding]:
    """Commits in git, hashes in DVC, runs and patches in MLflow.

    What a registered version names must be there. Runs alone may outlive their data, for example
    after `dvc gc`: that is counted, and not wrong.
    """
    versions = all_versions(store)
    tags_of = {_title(version): version.tags for version in versions}
    registered = {version.run_id for version in versions}
    others = {
        f"run {run.info.run_id}": run.data.tags
        for run in all_runs(store)
        if run.info.run_id not in registered
    }
    for version in versions:
        yield from _run(store, version)
    yield from _commits(root, tags_of, others)
    yield from _hashes(objects, tags_of, others)


def _run(store: Store, version: ModelVersion) -> Iterator[Finding]:
    """The version's run, and the patch that a dirty one needs."""
    client, run_id = store.client, str(version.run_id)
    try:
        client.get_run(run_id)
    except MlflowException as error:
        if error.error_code not in MISSING:
            raise
        yield Finding(
            "lineage",
            f"run {run_id} of {_title(version)} is gone",
            f"restore it (`mlflow gc` makes it final): `mlflow runs restore --run-id {run_id}`",
        )
        return
    if version.tags.get("git.dirty") == "true":
        folder = PATCH.rpartition("/")[0]
        if PATCH not in {file.path for file in client.list_artifacts(run_id, folder)}:
            yield Finding(
                "lineage",
                f"{_title(version)} was made of changed code, and run {run_id} has lost {PATCH}",
                "restore the artifact from a backup; without it the model cannot be made again",
            )


def _commits(
    root: Path, versions: dict[str, dict[str, str]], runs: dict[str, dict[str, str]]
) -> Iterator[Finding]:
    missing = {
        commit
        for commit in {tags.get("git.commit") for tags in [*versions.values(), *runs.values()]}
        if commit not in (None, "none") and not knows_commit(root, commit)
    }
    for wrong, owners in ((True, versions), (False, runs)):
        users = defaultdict(list)
        for owner, tags in owners.items():
            if tags.get("git.commit") in missing:
                users[tags["git.commit"]].append(owner)
        for commit, names in users.items():
            yield Finding(
                "lineage",
                f"git does not know commit {commit} of {_shortened(names)}",
                "`git fetch --all` (`--unshallow` in a shallow clone), or push it from elsewhere",
                wrong,
            )


def _hashes(
    objects: Objects, versions: dict[str, dict[str, str]], runs: dict[str, dict[str, str]]
) -> Iterator[Finding]:
    named = {d for tags in [*versions.values(), *runs.values()] for d in hashes_of(tags).values()}
    missing = named - objects.where(named).keys()
    users = defaultdict(list)
    for owner, tags in versions.items():
        for name, digest in hashes_of(tags).items():
            if digest in missing:
                users[digest].append(f"{name} of {owner}")
    for digest, names in users.items():
        yield Finding(
            "lineage",
            f"{digest} ({_shortened(names)}) is in no cache, remote or work tree",
            "`dvc fetch --all-commits`, `dvc push` where it was made, or `voxtwist recreate`",
        )
    if rest := missing - users.keys():
        owners = [o for o, tags in runs.items() if rest & set(hashes_of(tags).values())]
        yield Finding(
            "lineage",
            f"{len(rest)} hashes that only {_shortened(owners)} name are in no cache or remote",
            "delete the runs, or fetch the data with `dvc fetch --all-commits`",
            wrong=False,
        )


def _title(version: ModelVersion) -> str:
    return f"models:/{version.name}/{version.version}"


def _shortened(names: Iterable[str], shown: int = 3) -> str:
    first = list(names)
    more = f" and {len(first) - shown} more" if len(first) > shown else ""
    return ", ".join(first[:shown]) + more
