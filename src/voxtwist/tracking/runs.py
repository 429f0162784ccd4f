"""MLflow runs with an honest status: one per trained model, into which its evaluation logs too."""

import contextlib
import json
import logging
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mlflow.entities import Dataset as DatasetEntity
from mlflow.entities import DatasetInput, InputTag, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

from voxtwist.credentials import masked
from voxtwist.interrupt import sigterm_raises
from voxtwist.process import Process, user_name
from voxtwist.tracking.lineage import Lineage
from voxtwist.tracking.metric_buffer import MetricBuffer
from voxtwist.tracking.store import Store

log = logging.getLogger(__name__)
logging.getLogger("mlflow.system_metrics").setLevel(logging.WARNING)

# Artifacts of a run whose code differed from its commit: the patch, and files that are not in it.
PATCH, LEFT_OUT = "lineage/work_tree.patch", "lineage/not_in_patch.json"
HOST, PROCESS, STARTED = "process.host", "process.id", "process.started"  # tags
RESTORED_FROM = "voxtwist.restored_from"
RECREATES = "voxtwist.recreates"  # id of the run whose model is made again
# In the environment, so that they reach a training inside `dvc repro`.
PARENT_VARIABLE = "VOXTWIST_PARENT_RUN"
RECREATES_VARIABLE = "VOXTWIST_RECREATES"


@dataclass(frozen=True)
class Dataset:
    """Data that a run used.

    Attributes:
        digest: DVC's md5, at most 36 characters.
        context: what the run used it for.
    """

    name: str
    digest: str
    source: Path
    context: Literal["training", "evaluation"] = "training"


@dataclass
class Run:
    """A handle to write to one run; metrics are buffered, everything else is sent at once."""

    store: Store
    id: str
    continued: bool = False  # an interrupted training: steps that it has logged stay as they are
    metrics: MetricBuffer = field(init=False, repr=False)

    def __post_init__(self) -> None:
        spool = self.store.spool / f"{self.id}.json"
        self.metrics = MetricBuffer(
            self.store.client, self.id, spool, only_later_steps=self.continued
        )

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Queue metrics of one step. Returns at once and never raises for want of a server."""
        self.metrics.add(metrics, step)

    def keep_metrics(self) -> None:
        """From here on, no kill loses what has been logged so far."""
        self.metrics.keep()

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log settings once; nested mappings become dotted names (`train.learning_rate`)."""
        rows = [Param(name, masked(str(value))) for name, value in flatten(params).items()]
        for start in range(0, len(rows), 100):  # MLflow takes 100 in one call
            self.store.client.log_batch(self.id, params=rows[start : start + 100])

    def set_tags(self, tags: Mapping[str, str]) -> None:
        self.store.client.log_batch(self.id, tags=[RunTag(k, masked(v)) for k, v in tags.items()])

    def tag_checkpoint(self, path: Path, digest: str) -> None:
        """What training has made, by DVC's md5. Never raises for want of a server."""
        try:
            self.set_tags({"md5.checkpoint": digest, "path.checkpoint": str(path)})
        except Exception as error:
            log.warning(
                "MLflow did not record the checkpoint of run %s: %s", self.id, masked(str(error))
            )

    def log_datasets(self, datasets: Iterable[Dataset]) -> None:
        """Log the run's inputs; the UI shows name, digest and context.

        Of two runs that log the same new data at once, MLflow's store refuses one. Asked again, it
        finds the other's record.
        """
        inputs = [
            DatasetInput(
                DatasetEntity(
                    name=dataset.name,
                    digest=dataset.digest,
                    source_type="local",
                    source=json.dumps({"uri": str(dataset.source)}),
                ),
                [InputTag("mlflow.data.context", dataset.context)],
            )
            for dataset in datasets
        ]
        try:
            self.store.client.log_inputs(self.id, inputs)
        except MlflowException:
            self.store.client.log_inputs(self.id, inputs)

    def log_artifact(self, file: Path, folder: str | None = None) -> None:
        """Copy a file into the run's artifacts, below `folder`."""
        self.store.client.log_artifact(self.id, str(file), folder)

    def log_artifacts(self, directory: Path, folder: str | None = None) -> None:
        """Copy what is in a directory into the run's artifacts, below `folder`."""
        self.store.client.log_artifacts(self.id, str(directory), folder)

    def log_text(self, text: str, name: str) -> None:
        """Write an artifact `name` that holds `text`; bytes of other encodings stay."""
        folder, _, file = name.rpartition("/")
        with tempfile.TemporaryDirectory() as temporary:
            path = Path(temporary) / file
            path.write_text(text, encoding="utf-8", errors="surrogateescape", newline="")
            self.log_artifact(path, folder or None)

    def log_lineage(self, lineage: Lineage) -> None:
        """Tag the run with its lineage; what differs from the commit becomes an artifact."""
        self.set_tags(lineage.tags())
        if lineage.commit.dirty:
            self.log_text(lineage.commit.diff, PATCH)
        if lineage.commit.left_out:
            self.log_text(json.dumps(lineage.commit.left_out, indent=2), LEFT_OUT)


@contextlib.contextmanager
def training_run(
    store: Store,
    name: str,
    *,
    params: Mapping[str, Any],
    lineage: Lineage,
    datasets: Iterable[Dataset] = (),
    parent: str | None = None,
    run_id: str | None = None,
) -> Iterator[Run]:
    """A run around the training of one model, with system metrics.

    Ends as FINISHED, as FAILED when the body raises, as KILLED when it exits (`SystemExit`), on
    SIGTERM and on Ctrl-C. SIGTERM raises `Terminated` in the body.

    Args:
        name: see `run_name`.
        params: settings, nested or flat.
        parent: id of the run that this one is shown under, for example a sweep's; by default what
            the environment's VOXTWIST_PARENT_RUN says.
        run_id: continue this interrupted run instead of starting one; its params stay.
    """
    run = Run(store, run_id or _create(store, name, parent), continued=run_id is not None)
    monitor = SystemMetricsMonitor(run.id, resume_logging=True, tracking_uri=store.uri)
    status = "FAILED"
    try:
        with sigterm_raises():
            run.log_lineage(lineage)
            run.set_tags(process_tags())
            if run_id is None:
                run.log_params(params)
                run.log_datasets(datasets)
            else:
                store.client.update_run(run_id, status="RUNNING")
            monitor.start()
            yield run
        status = "FINISHED"
    except (KeyboardInterrupt, SystemExit):
        status = "KILLED"
        raise
    finally:
        monitor.finish()
        run.metrics.close()
        _end(store, run.id, status)


@contextlib.contextmanager
def resume_run(store: Store, run_id: str) -> Iterator[Run]:
    """Log more into a run that has ended, for example its model's evaluation; the status stays.

    A run id comes out of a metrics file, and DVC can restore that file on a machine whose store
    never saw the run. Then a run tagged `voxtwist.restored_from` takes its place, the same one
    each time: `run.id` tells.
    """
    run = Run(store, _here(store, run_id))
    try:
        yield run
    finally:
        run.metrics.close()


def process_tags() -> dict[str, str]:
    """This process, as tags of the run that it works on."""
    process = Process.current()
    return {HOST: process.host, PROCESS: str(process.pid), STARTED: f"{process.started:.0f}"}


def process_of(tags: Mapping[str, str]) -> Process | None:
    """The process that a run's tags name, where they do."""
    if PROCESS not in tags:
        return None
    return Process(tags[HOST], int(tags[PROCESS]), float(tags[STARTED]))


def run_name(preset: str, freeze: str, learning_rate: float, fingerprint: str) -> str:
    """What the model is: `embedded none lr6e-4 1a2b3c`."""
    mantissa, exponent = f"{learning_rate:.3e}".split("e")
    return f"{preset} {freeze} lr{float(mantissa):g}e{int(exponent)} {fingerprint[:6]}"


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"train": {"epochs": 4}}` as `{"train.epochs": 4}`."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _create(store: Store, name: str, parent: str | None) -> str:
    tags = {
        "mlflow.user": user_name(),
        "mlflow.source.name": sys.argv[0],
        "mlflow.source.type": "LOCAL",
    }
    if parent := parent or os.environ.get(PARENT_VARIABLE):
        tags["mlflow.parentRunId"] = parent
    if recreates := os.environ.get(RECREATES_VARIABLE):
        tags[RECREATES] = recreates
    return store.client.create_run(store.experiment_id, run_name=name, tags=tags).info.run_id


def _end(store: Store, run_id: str, status: str) -> None:
    """Close the run; a server that is gone must not turn a finished training into a failed one."""
    try:
        store.client.set_terminated(run_id, status)
    except Exception as error:
        log.warning(
            "MLflow did not record that run %s is %s: %s", run_id, status, masked(str(error))
        )


def _here(store: Store, run_id: str) -> str:
    """The id of the run in this store; see `resume_run`."""
    try:
        return store.client.get_run(run_id).info.run_id
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
    stand_ins = store.client.search_runs(
        [store.experiment_id], f"tags.`{RESTORED_FROM}` = '{run_id}'", max_results=1
    )
    if stand_ins:
        return stand_ins[0].info.run_id
    created = store.client.create_run(
        store.experiment_id, run_name=f"restored {run_id[:8]}", tags={RESTORED_FROM: run_id}
    )
    store.client.set_terminated(created.info.run_id)
    return created.info.run_id
