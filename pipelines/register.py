"""Stage `register`: the trained checkpoint becomes a version in the model registry."""

import json
from pathlib import Path

from voxtwist import params
from voxtwist.terminal import one_line_errors
from voxtwist.tracking.registry import register
from voxtwist.tracking.runs import resume_run
from voxtwist.tracking.store import open_store

with one_line_errors():
    tracking = params.load().tracking
    store = open_store(Path(), tracking.experiment)
    run_id = json.loads(Path("metrics/train.json").read_text())["run_id"]
    with resume_run(store, run_id) as run:
        register(
            store,
            run.id,
            tracking.model,
            Path(),
            "checkpoints/sft",
            Path("metrics/register.json"),
            evidence=[Path("metrics/split.json")],
        )
