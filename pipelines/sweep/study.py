"""Stage `sweep`: the study of params.yaml; how many workers run it, the environment says."""

import os
from pathlib import Path

from voxtwist import params
from voxtwist.sweep.job import Outputs, Paths
from voxtwist.sweep.run import run_sweep
from voxtwist.terminal import one_line_errors

with one_line_errors():  # its study is kept by `persist`, and newer than the one of dvc.lock
    run_sweep(
        params.load(),
        Paths(base="checkpoints/base", start="checkpoints/twist", splits="data/splits"),
        Outputs(folder=Path("sweep"), report=Path("metrics/sweep.json")),
        workers=int(os.environ.get("VOXTWIST_WORKERS", "1")),
        storage=os.environ.get("VOXTWIST_STORAGE"),
    )
