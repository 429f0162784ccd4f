"""Stage `register`: the trained checkpoint becomes a version in the model registry."""

from pathlib import Path

from voxtwist.params import Params
from voxtwist.stages.model_run import model_run
from voxtwist.tracking.registry import register_checkpoint


def register_stage(
    root: Path, params: Params, checkpoint: str, report: Path, evidence: list[Path]
) -> None:
    """Register the checkpoint as made by the model's run; see `register_checkpoint`."""
    with model_run(root, params) as run:
        register_checkpoint(
            run.store, run.id, params.tracking.model, root, checkpoint, report, evidence
        )
