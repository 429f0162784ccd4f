"""Metrics on their way to MLflow."""

import json
import logging
import re
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric

from voxtwist.credentials import masked

log = logging.getLogger(__name__)

BATCH = 1000  # MLflow takes no more metrics in one call


class MetricBuffer:
    """Collects metrics and sends them in batches from its own thread.

    One `log_metric` takes some 26 ms on SQLite and minutes when a server is down: training must
    neither wait for it nor fail because of it. Metrics that could not be sent before `close` gave
    up are kept in the file `spool`, and sent by the next buffer of the same run.
    """

    def __init__(
        self,
        client: MlflowClient,
        run_id: str,
        spool: Path,
        *,
        only_later_steps: bool = False,
        interval: float = 5.0,
    ) -> None:
        """
        Args:
            only_later_steps: leave out steps of a metric that the run has already. A training that
                goes on from a saved state takes the steps behind it a second time.
            interval: seconds between two batches.
        """
        self._client = client
        self._run_id = run_id
        self._spool = spool
        self._interval = interval
        self._pending = _read(spool)
        self._only_later_steps = only_later_steps
        self._last_steps: dict[str, int] = {}
        self._guard = threading.Lock()
        self._closing = threading.Event()
        self._problem: Exception | None = None
        self._thread = threading.Thread(target=self._work, daemon=True, name="MetricBuffer")
        self._thread.start()

    def add(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Queue metrics of one step; characters that MLflow refuses in names become `_`."""
        now = int(time.time() * 1000)
        rows = [Metric(clean(name), float(value), now, step) for name, value in metrics.items()]
        with self._guard:
            self._pending.extend(rows)

    def keep(self) -> None:
        """Write what is not sent yet into the spool, where a kill does not reach it.

        What is sent as well, then or later, is the same row in MLflow.
        """
        with self._guard:
            left = list(self._pending)
        self._spool.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self._spool.with_suffix(".new")
        rows = [[metric.key, metric.value, metric.timestamp, metric.step] for metric in left]
        unfinished.write_text(json.dumps(rows), encoding="utf-8")
        unfinished.replace(self._spool)

    def close(self, timeout: float = 60.0) -> None:
        """Send what is left, waiting at most `timeout` seconds; keep the rest in the spool."""
        self._closing.set()
        self._thread.join(timeout)
        with self._guard:
            left = list(self._pending)
        if not left:
            self._spool.unlink(missing_ok=True)
            return
        self.keep()
        log.warning(
            "MLflow did not take %d metrics of run %s (%s): they are kept in %s and will be sent "
            "when the run is next opened",
            len(left),
            self._run_id,
            masked(str(self._problem or "no answer yet")),
            self._spool,
        )

    def _work(self) -> None:
        last = False
        while not last:
            last = self._closing.wait(self._interval)
            try:
                while self._send_batch():
                    pass
            except Exception as error:
                if self._problem is None:
                    log.warning("MLflow does not take metrics, will retry: %s", masked(str(error)))
                self._problem = error

    def _send_batch(self) -> bool:
        """Send the oldest metrics; whether there may be more. Sending twice does no harm."""
        with self._guard:
            batch = self._pending[:BATCH]
        if batch:
            last_steps = dict(self._last_steps)
            rows = self._later(batch, last_steps) if self._only_later_steps else batch
            if rows:
                self._client.log_batch(self._run_id, metrics=rows)
            with self._guard:
                del self._pending[: len(batch)]
            self._last_steps = last_steps
            self._problem = None
        return len(batch) == BATCH

    def _later(self, batch: list[Metric], last_steps: dict[str, int]) -> list[Metric]:
        """Rows of steps that neither the run nor an earlier row has; `last_steps` goes along."""
        rows = []
        for row in batch:
            if row.key not in last_steps:
                sent = self._client.get_metric_history(self._run_id, row.key)
                last_steps[row.key] = max((metric.step for metric in sent), default=-1)
            if row.step > last_steps[row.key]:
                last_steps[row.key] = row.step
                rows.append(row)
        return rows


def clean(name: str) -> str:
    """A name that MLflow takes: letters, digits and `_-. :/`."""
    return re.sub(r"[^\w\-. :/]", "_", name)


def _read(spool: Path) -> list[Metric]:
    if not spool.exists():
        return []
    return [Metric(*row) for row in json.loads(spool.read_bytes())]
