"""A training as the pipeline runs it: resumable, and one MLflow run with its lineage."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import voxtwist
from voxtwist.params import Params
from voxtwist.tracking import lineage
from voxtwist.tracking.hashes import pipeline_md5
from voxtwist.tracking.runs import Dataset, Run, run_name, training_run
from voxtwist.tracking.store import home, open_store
from voxtwist.training.state import StateFolder, code_fingerprint, fingerprint
from voxtwist.training.train import train


def train_tracked(
    params: Params, root: Path, start: Path, splits: Path, best: Path, last: Path
) -> dict[str, Any]:
    """Train as `params.train` says, from `start` on the files of `splits`, into `best` and `last`.

    Args:
        root: the project; the paths are relative to it.

    Returns:
        What `train` returns.
    """
    data = {"raw": Path(params.data.raw), "base": Path("checkpoints/base"), "start": start}
    data |= {name: splits / f"{name}.jsonl" for name in ("train", "eval")}
    data["codec"] = Path(params.codec.path)
    hashes = {name: pipeline_md5(root, str(path)) for name, path in data.items()}
    key = fingerprint(
        {
            "settings": params.train.model_dump(),
            "seed": params.seed,
            "data": {name: hashes[name] for name in ("start", "train", "eval")},
            "code": code_fingerprint(Path(voxtwist.__file__).parent),
        }
    )
    store = open_store(root, params.tracking.experiment)

    def open_run(run_id: str | None) -> AbstractContextManager[Run]:
        return training_run(
            store,
            run_name(params.preset, params.train.freeze, params.train.learning_rate, key),
            params=params.model_dump(),
            lineage=lineage.collect(root, {name: str(path) for name, path in data.items()}),
            datasets=[
                Dataset("train", hashes["train"], data["train"]),
                Dataset("eval", hashes["eval"], data["eval"], "evaluation"),
            ],
            run_id=run_id,
        )

    return train(
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
