"""A model made again from what its run says of it, and compared with the first one."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voxtwist.errors import VoxtwistError
from voxtwist.tracking.objects import Objects
from voxtwist.tracking.query import Model
from voxtwist.tracking.recreation.comparison import Comparison, Tolerance, compare_runs
from voxtwist.tracking.recreation.worktree import Worktree
from voxtwist.tracking.store import Store
from voxtwist.vcs import md5

FROM_RAW = ["convert", "split", "twist", "train"]
VERDICT = "voxtwist.recreation"  # tag of the new run


@dataclass(frozen=True)
class Recreation:
    """
    Attributes:
        original, recreated: run ids.
        folder: the worktree, which stays.
    """

    original: str
    recreated: str
    folder: Path
    comparison: Comparison

    def as_dict(self) -> dict[str, Any]:
        return {
            "original": self.original,
            "recreated": self.recreated,
            "folder": str(self.folder),
            **self.comparison.as_dict(),
        }


def recreate(
    store: Store,
    root: Path,
    model: Model,
    folder: Path,
    tolerance: Tolerance,
    *,
    from_raw: bool = False,
    evaluate: bool = True,
    say: Callable[[str], None],
) -> Recreation:
    """Train a model again in a git worktree, as a new run of the same store.

    The run is tagged `voxtwist.recreates` and, in the end, `voxtwist.recreation` with the verdict.

    Args:
        root: the project.
        folder: where the worktree is made.
        from_raw: convert, split and twist again too, instead of taking their results from DVC.
        evaluate: run the evaluation stages when the bytes differ; the same weights need none.
        say: told what is being done.

    Raises:
        VoxtwistError: the commit, the patch or the data cannot be found, or a stage fails.
    """
    run = model.run
    tags = run.data.tags
    commit = tags.get("git.commit", "none")
    if commit == "none":
        raise VoxtwistError(f"run {run.info.run_id} knows no git commit: it cannot be made again")
    worktree = Worktree(root, folder)
    worktree.check_out(commit)
    say(f"commit {commit[:12]} in {worktree.folder}")
    if worktree.apply_patch(store, run):
        say("the run had changes that were not committed: applied from its patch")
    for name, (old, new) in worktree.write_settings(run.data.params).items():
        say(f"setting {name}: {old} -> {new}")
    restored = worktree.restore(Objects(root), tags, from_raw)
    say(f"data restored: {', '.join(restored)}")
    worktree.reproduce(store, run.info.run_id, FROM_RAW if from_raw else ["train"])
    new_id = json.loads((worktree.folder / "metrics" / "train.json").read_bytes())["run_id"]
    first = (model.version.tags if model.version else tags).get("md5.checkpoint")
    checkpoint = first, md5(worktree.folder / tags.get("path.checkpoint", "checkpoints/sft"))
    evaluations = [name for name in worktree.stages() if name.startswith("evaluate_")]
    if checkpoint[0] != checkpoint[1] and evaluate and evaluations:
        say("the checkpoint has other bytes: evaluating it, to compare figures")
        worktree.reproduce(store, run.info.run_id, evaluations)
    comparison = compare_runs(run, store.client.get_run(new_id), checkpoint, tolerance)
    store.client.set_tag(new_id, VERDICT, comparison.verdict)
    return Recreation(run.info.run_id, new_id, worktree.folder, comparison)
