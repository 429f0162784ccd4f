"""Stage `train`: fine-tuning, resumable, as one MLflow run with its lineage."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import voxtwist
from voxtwist.files import write_json
from voxtwist.params import Params
from voxtwist.tracking import lineage
from voxtwist.tracking.runs import Dataset, Run, run_name, training_run
from voxtwist.tracking.store import home, open_store
from voxtwist.training.state import (
    OF_THIS_PROCESS,
    StateFolder,
    code_fingerprint,
    fingerprint,
)
from voxtwist.training.train import train
from voxtwist.vcs import md5, pipeline_md5


def train_stage(
    params: Params,
    root: Path,
    start: Path,
    splits: Path,
    best: Path,
    last: Path,
    report: Path,
    parent: str | None = None,
) -> None:
    """Train as `params.train` says, from `start` on the files of `splits`, into `best` and `last`.

    Args:
        root: the project; the paths are relative to it.
        report: JSON file that gets what `train` returns.
        parent: see `training_run`.
    """
    data = {"raw": Path(params.data.raw), "base": Path("checkpoints/base"), "start": start}
    data |= {name: splits / f"{name}.jsonl" for name in ("train", "eval")}
    data |= {"splits": splits, "codec": Path(params.codec.path)}
    hashes = {name: pipeline_md5(root, str(path)) for name, path in data.items()}
    key = fingerprint(
        {
            "settings": params.train.model_dump(exclude=OF_THIS_PROCESS),
            "seed": params.seed,
            "data": {name: hashes[name] for name in ("start", "train", "eval")},
            "code": code_fingerprint(Path(voxtwist.__file__).parent),
        }
    )

    @contextmanager
    def open_run(run_id: str | None) -> Iterator[Run]:
        with training_run(
            open_store(root, params.tracking.experiment),
            run_name(params.preset, params.train.freeze, params.train.learning_rate, key),
            params=params.model_dump(exclude={"sweep"}),
            lineage=lineage.collect(root, {name: str(path) for name, path in data.items()}),
            datasets=[
                Dataset("train", hashes["train"], data["train"]),
                Dataset("eval", hashes["eval"], data["eval"], "evaluation"),
            ],
            parent=parent,
            run_id=run_id,
        ) as run:
            yield run
            run.tag_checkpoint(best, md5(root / best))

    result = train(
        start,
        data["train"],
        data["eval"],
        best,
        last,
        params.train,
        params.seed,
        StateFolder(home(root) / ".scratch" / "train", key),
        open_run,
    )
    if result["run_id"]:  # the main process
        write_json(result, report)
