"""The MLflow run in which the model was trained, into which all that is measured of it goes too."""

import json
from contextlib import AbstractContextManager
from pathlib import Path

from voxtwist.errors import VoxtwistError
from voxtwist.params import Params
from voxtwist.tracking.runs import Run, resume_run
from voxtwist.tracking.store import open_store

SFT = "sft"  # name of the fine-tuned model


def model_run(root: Path, params: Params) -> AbstractContextManager[Run]:
    """Open it again, by the id that training left.

    metrics/train.json is no dependency of the stages: a stage restored from DVC's cache must not
    run again because a run has another id.

    Raises:
        VoxtwistError: nothing was trained yet, or the store cannot be opened.
    """
    report = root / "metrics" / "train.json"
    if not report.exists():
        raise VoxtwistError(f"{report} is missing: run the stage train first")
    run_id = json.loads(report.read_bytes())["run_id"]
    return resume_run(open_store(root, params.tracking.experiment), run_id)
