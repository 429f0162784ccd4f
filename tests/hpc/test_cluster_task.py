"""The processes that srun starts train together, without accelerate's launcher."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.mark.slow
def test_two_tasks_of_a_job_train_as_one_process_does(project):
    alone = project("alone", max_steps=3)
    assert alone.train().returncode == 0
    together = project("together", max_steps=3)
    shutil.copytree(ROOT / "hpc", together.folder / "hpc")
    environment = {
        **os.environ, "SLURM_NTASKS": "2", "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": free_port(), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    (together.folder / "src").symlink_to(ROOT / "src")
    tasks = [
        subprocess.Popen(
            ["hpc/task"], cwd=together.folder,
            env=environment | {"SLURM_PROCID": rank, "SLURM_LOCALID": rank},
            stderr=subprocess.PIPE, text=True,
        )
        for rank in ("0", "1")
    ]  # fmt: skip
    try:
        for task in tasks:
            _, errors = task.communicate()
            assert task.returncode == 0, errors[-2000:]
    finally:  # either waits for the other
        for task in tasks:
            task.kill()
    assert together.report()["steps"] == 3
    for step, (one, other) in enumerate(
        zip(alone.history("train/loss"), together.history("train/loss"), strict=True), start=1
    ):
        assert other == (step, pytest.approx(one[1], rel=1e-3))
