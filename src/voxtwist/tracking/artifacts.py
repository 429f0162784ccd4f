"""Artifacts of a run that may or may not be there."""

from pathlib import Path

from voxtwist.tracking.store import Store


def fetch(store: Store, run_id: str, artifact: str, folder: Path) -> Path | None:
    """Copy a file or folder of a run's artifacts below `folder`; None when the run has none.

    Returns:
        Where it is now.
    """
    parent, _, _ = artifact.rpartition("/")
    listed = store.client.list_artifacts(run_id, parent or None)
    if artifact not in {file.path for file in listed}:
        return None
    return Path(store.client.download_artifacts(run_id, artifact, str(folder)))
