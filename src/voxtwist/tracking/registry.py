"""The model registry: a version names a run and a checkpoint by hash; the bytes stay in DVC."""

import re
from collections.abc import Sequence
from pathlib import Path

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from voxtwist.errors import VoxtwistError
from voxtwist.files import write_json
from voxtwist.tracking.store import Store
from voxtwist.vcs import md5, pipeline_md5

LINEAGE = ("git.", "dvc.", "md5.", "version.", "hardware.")
_ABSENT = re.compile(r"(Registered [Mm]odel|Model Version).* not found")
_REASON = 300  # characters shown of an error
PACKAGED_FROM = "voxtwist.packaged_from"  # on a version with weights: the number of the one without


def register_checkpoint(
    store: Store,
    run_id: str,
    model: str,
    root: Path,
    checkpoint: str,
    report: Path,
    evidence: Sequence[Path] = (),
) -> ModelVersion:
    """Make a version of `model` out of a run and its checkpoint, without copying weights.

    The version carries the run's lineage tags and `md5.checkpoint`; its source is the run's
    artifact folder `checkpoint`, which holds the settings and a manifest of hashes. Registering
    the same run and checkpoint again gives the same version.

    Args:
        run_id: a run of `store`.
        checkpoint: the checkpoint's directory, relative to `root`.
        report: JSON file to write: `{"model": …, "version": …, "run_id": …, "md5": …}`.
        evidence: files that become artifacts of the run, below `lineage`.
    """
    digest = pipeline_md5(root, checkpoint)
    version = _find(store, model, run_id, digest) or _create(
        store, run_id, model, root / checkpoint, digest
    )
    for file in evidence:
        store.client.log_artifact(run_id, str(file), "lineage")
    entry = {"model": model, "version": int(version.version), "run_id": run_id, "md5": digest}
    write_json(entry, report)
    return version


def find_version(store: Store, model: str, name: str) -> ModelVersion:
    """A version by what people call it.

    Args:
        model: that a bare number or alias belongs to.
        name: `3`, `champion`, `models:/voxtwist/3` or `models:/voxtwist@champion`.

    Raises:
        VoxtwistError: there is none, or the registry does not answer.
    """
    uri = re.fullmatch(r"models:/(?P<model>[^/@]+)[/@](?P<which>[^/@]+)", name)
    if uri is None and name.startswith("models:"):
        raise VoxtwistError(f"{name}: write models:/NAME@ALIAS or models:/NAME/NUMBER")
    model, which = (uri["model"], uri["which"]) if uri else (model, name.removeprefix("@"))
    by_number = which.isdecimal()
    try:
        if by_number:
            return store.client.get_model_version(model, which)
        return store.client.get_model_version_by_alias(model, which)
    except MlflowException as error:
        _refuse_unless_absent(error)
        known = ", ".join(sorted((number(v) for v in _versions(store, model)), key=int))
        kind = "version" if by_number else "alias"
        raise VoxtwistError(
            f"the model {model!r} has no {kind} {which!r} in {store.uri}: "
            f"its versions are {known or 'none yet: run the stage register'}"
        ) from error


def alias_version(store: Store, model: str, alias: str) -> ModelVersion | None:
    """The version that an alias points at, if there is one.

    Raises:
        VoxtwistError: the registry does not say. What is not known to be absent may be there.
    """
    try:
        return store.client.get_model_version_by_alias(model, alias)
    except MlflowException as error:
        _refuse_unless_absent(error)
        return None


def _refuse_unless_absent(error: MlflowException) -> None:
    """Only MLflow's own "not found" says so; a server that is down, or a proxy's 404, does not."""
    if _ABSENT.search(str(error)) is None:
        reason = next(iter(str(error).splitlines()), "")[:_REASON]
        raise VoxtwistError(
            f"the model registry does not answer ({reason}): nothing was changed, try again"
        ) from error


def number(version: ModelVersion) -> str:
    """As text: MLflow gives an int or a str, depending on the call."""
    return str(version.version)


def package_of(store: Store, version: ModelVersion) -> ModelVersion | None:
    """The version with weights that was made from this one; itself when it has them."""
    if PACKAGED_FROM in version.tags:
        return version
    made = (
        other
        for other in _versions(store, version.name)
        if other.tags.get(PACKAGED_FROM) == number(version)
    )
    return next(made, None)


def _versions(store: Store, model: str) -> list[ModelVersion]:
    return list(store.client.search_model_versions(f"name = '{model}'"))


def _find(store: Store, model: str, run_id: str, digest: str) -> ModelVersion | None:
    same_run = store.client.search_model_versions(f"name = '{model}' and run_id = '{run_id}'")
    return next(
        (
            version
            for version in same_run
            if version.tags.get("md5.checkpoint") == digest and PACKAGED_FROM not in version.tags
        ),
        None,
    )


def _create(store: Store, run_id: str, model: str, checkpoint: Path, digest: str) -> ModelVersion:
    client = store.client
    run = client.get_run(run_id)
    files = sorted(file for file in checkpoint.rglob("*") if file.is_file())
    manifest = {
        "md5": digest,
        "files": [
            {
                "path": file.relative_to(checkpoint).as_posix(),
                "bytes": file.stat().st_size,
                "md5": md5(file),
            }
            for file in files
        ],
    }
    client.log_dict(run_id, manifest, "checkpoint/manifest.json")
    for file in checkpoint.glob("*config.json"):
        client.log_artifact(run_id, str(file), "checkpoint")
    tags = {name: value for name, value in run.data.tags.items() if name.startswith(LINEAGE)}
    tags["md5.checkpoint"] = digest
    client.set_tag(run_id, "md5.checkpoint", digest)
    try:
        client.create_registered_model(model)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    return client.create_model_version(
        model,
        source=f"runs:/{run_id}/checkpoint",
        run_id=run_id,
        tags=tags,
        description=run.info.run_name,
    )
