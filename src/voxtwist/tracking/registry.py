"""The model registry: a version names a run and a checkpoint by hash; the bytes stay in DVC."""

from pathlib import Path

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from voxtwist.files import write_json
from voxtwist.tracking import hashes
from voxtwist.tracking.store import Store

LINEAGE = ("git.", "dvc.", "md5.", "version.", "hardware.")


def register(
    store: Store, run_id: str, model: str, root: Path, checkpoint: str, report: Path
) -> ModelVersion:
    """Make a version of `model` out of a run and its checkpoint, without copying weights.

    The version carries the run's lineage tags and `md5.checkpoint`; its source is the run's
    artifact folder `checkpoint`, which holds the settings and a manifest of hashes. Registering
    the same run and checkpoint again gives the same version.

    Args:
        run_id: a run of `store`.
        checkpoint: the checkpoint's directory, relative to `root`.
        report: JSON file to write: `{"model": …, "version": …, "run_id": …, "md5": …}`.
    """
    digest = hashes.pipeline_md5(root, checkpoint)
    version = _find(store, model, run_id, digest) or _create(
        store, run_id, model, root / checkpoint, digest
    )
    entry = {"model": model, "version": int(version.version), "run_id": run_id, "md5": digest}
    write_json(entry, report)
    return version


def _find(store: Store, model: str, run_id: str, digest: str) -> ModelVersion | None:
    same_run = store.client.search_model_versions(f"name = '{model}' and run_id = '{run_id}'")
    return next((v for v in same_run if v.tags.get("md5.checkpoint") == digest), None)


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
                "md5": hashes.md5(file),
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
