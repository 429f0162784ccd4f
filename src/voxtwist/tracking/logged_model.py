"""Results on MLflow's logged model: which checkpoint has them, and on which data."""

import time
from collections.abc import Mapping

from mlflow.entities import LoggedModel, Metric

from voxtwist.tracking.metric_buffer import clean
from voxtwist.tracking.runs import Run

_BATCH = 1000  # MLflow takes no more metrics in one call


def log_model_metrics(
    run: Run, name: str, metrics: Mapping[str, float], dataset: str, digest: str
) -> str:
    """Log metrics into a run, tied to its model and to the data that they were measured on.

    MLflow then finds the model by them (`search_logged_models`), and compares models on equal data
    only.

    Args:
        name: of the logged model, where the run has none yet.
        dataset, digest: at most 36 characters of digest.

    Returns:
        The model's id.
    """
    client = run.store.client
    model = _logged_model(run, name)
    now = int(time.time() * 1000)
    rows = [
        Metric(clean(metric), float(value), now, 0, model.model_id, dataset, digest, run.id)
        for metric, value in metrics.items()
    ]
    for start in range(0, len(rows), _BATCH):
        client.log_batch(run.id, metrics=rows[start : start + _BATCH])
    return str(model.model_id)


def _logged_model(run: Run, name: str) -> LoggedModel:
    """The run's newest logged model; made, without files, where training left none."""
    client = run.store.client
    experiment = client.get_run(run.id).info.experiment_id
    found = client.search_logged_models([experiment], f"source_run_id = '{run.id}'", max_results=1)
    if found:
        return found[0]
    created = client.create_logged_model(experiment, name=name, source_run_id=run.id)
    return client.finalize_logged_model(created.model_id, "READY")
