"""The worker processes of one machine, each with its share of the devices."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from voxtwist.errors import VoxtwistError
from voxtwist.interrupt import EX_TEMPFAIL, Terminated
from voxtwist.sweep.job import Job

POLL = 1.0  # seconds between two looks at the workers
PATIENCE = 60.0  # seconds for a trial of another machine, before a worker looks after it
_STOPPED = (EX_TEMPFAIL, 128 + signal.SIGTERM)  # exit codes of a worker that was asked to stop


def devices_of(worker: int, workers: int, environment: dict[str, str]) -> dict[str, str]:
    """Environment of a worker: a GPU each, dealt out in turn; on a CPU the threads are divided."""
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    gpus = (
        [name for name in visible.split(",") if name]
        if visible is not None
        else [str(number) for number in range(torch.cuda.device_count())]
    )
    if gpus:
        return {"CUDA_VISIBLE_DEVICES": gpus[worker % len(gpus)]}
    threads = int(environment.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))
    return {"OMP_NUM_THREADS": str(max(1, threads // workers))}


class Crew:
    """Starts workers and watches over them inside a `with`.

    A worker that is killed is replaced, as long as there are trials; one that ends with an error
    ends the sweep. What a worker prints goes to `worker-N.log` in the study's scratch folder.
    """

    def __init__(self, job: Job, workers: int) -> None:
        self.job, self.workers = job, workers
        self._file = job.scratch / f"job-{os.getpid()}.json"
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "Crew":
        self.job.write(self._file)
        for number in range(self.workers):
            self._start(number)
        return self

    def __exit__(self, *_: object) -> None:
        """Ask those that still run to put their trial back, and wait for them."""
        for process in self._processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self._processes.values():
            process.wait()
        self._file.unlink(missing_ok=True)

    def wait(self, look: Callable[[], bool], to_the_end: bool) -> None:
        """Until all workers are done.

        Args:
            look: called now and then; whether there are trials left.
            to_the_end: wait for the trials of other machines too. Once a minute a worker sees
                whether one of them died.

        Raises:
            VoxtwistError: a worker ended with an error.
            Terminated: a worker was asked to stop.
        """
        left, started = True, time.monotonic()
        while self._processes or (left and to_the_end):
            time.sleep(POLL)
            left = look()
            for number, process in list(self._processes.items()):
                code = process.poll()
                if code is None:
                    continue
                del self._processes[number]
                if code in _STOPPED:
                    raise Terminated(code)
                if code > 0:
                    raise VoxtwistError(f"a worker of the sweep failed: {self._last_line(number)}")
                if code < 0 and left:
                    self._start(number)
            if left and not self._processes and time.monotonic() - started > PATIENCE:
                started = time.monotonic()
                self._start(0)

    def _log(self, number: int) -> Path:
        return self.job.scratch / f"worker-{number}.log"

    def _last_line(self, number: int) -> str:
        lines = self._log(number).read_text(encoding="utf-8", errors="replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        return f"{said[-1] if said else 'it said nothing'} (all of it: {self._log(number)})"

    def _start(self, number: int) -> None:
        own = devices_of(number, self.workers, dict(os.environ))
        with self._log(number).open("ab") as log:
            self._processes[number] = subprocess.Popen(
                [sys.executable, "-m", "voxtwist.sweep.worker", str(self._file)],
                env={**os.environ, **own},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
