"""The checkpoints that trials start from: one for each twist, made once."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from voxtwist.model.twist import twist_checkpoint
from voxtwist.params import Params
from voxtwist.training.state import fingerprint


class Starts:
    """Twisted checkpoints by their settings; that of the pipeline itself is used where it fits.

    Args:
        own: the settings of the pipeline, whose checkpoint is `checkpoint`.
        base: the checkpoint to twist.
        train_file: the training split, with which `twist.init: aligned` counts.
        scratch: where others are made.
        keep: whether others are kept for later trials, or removed after the trial.
    """

    def __init__(
        self,
        own: Params,
        checkpoint: Path,
        base: Path,
        train_file: Path,
        scratch: Path,
        keep: bool,
    ) -> None:
        self.own, self.checkpoint, self.base, self.train_file = own, checkpoint, base, train_file
        self.scratch, self.keep = scratch, keep

    @contextmanager
    def of(self, params: Params) -> Iterator[Path]:
        """The checkpoint that these settings start from; workers that want the same one wait."""
        if params.twist == self.own.twist:
            yield self.checkpoint
            return
        folder = self.scratch / fingerprint(params.twist.model_dump())
        self.scratch.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not folder.exists():
                self._make(params, folder)
        try:
            yield folder
        finally:
            if not self.keep:
                shutil.rmtree(folder, ignore_errors=True)

    def _make(self, params: Params, folder: Path) -> None:
        unfinished = folder.with_suffix(".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        twist_checkpoint(
            self.base,
            unfinished,
            params.codec,
            params.data.format,
            params.twist,
            params.seed,
            self.train_file,
        )
        unfinished.replace(folder)
