"""What a worker process is told: the settings as they were when the sweep began, and where."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from voxtwist.files import write_json
from voxtwist.params import Params

JOURNAL = "study.journal"


@dataclass(frozen=True)
class Paths:
    """Relative to the project.

    Attributes:
        base, start: the checkpoint before and after the pipeline's own twist.
        splits: folder of train.jsonl and eval.jsonl.
    """

    base: str
    start: str
    splits: str

    @property
    def train(self) -> Path:
        return Path(self.splits) / "train.jsonl"

    @property
    def eval(self) -> Path:
        return Path(self.splits) / "eval.jsonl"


@dataclass(frozen=True)
class Outputs:
    """Where the results of a study go.

    Attributes:
        folder: the settings of the best trial, a table of all, the study itself, and plots.
        report: a JSON file with figures of the study and of its best trial.
    """

    folder: Path
    report: Path

    @property
    def best(self) -> Path:
        return self.folder / "best.yaml"

    @property
    def table(self) -> Path:
        return self.folder / "trials.csv"

    @property
    def study(self) -> Path:
        return self.folder / "study"

    @property
    def journal(self) -> Path:
        return self.study / JOURNAL

    @property
    def artifacts(self) -> Path:
        """What Optuna keeps beside the study: audio of trials."""
        return self.study / "artifacts"

    @property
    def plots(self) -> Path:
        return self.folder / "plots"


@dataclass(frozen=True)
class Job:
    """One study on one machine.

    Attributes:
        study: its name.
        storage: a journal file or the URL of a database.
        scratch: folder of this study.
    """

    params: Params
    paths: Paths
    study: str
    storage: str
    scratch: Path

    @property
    def artifacts(self) -> Path:
        """Where Optuna keeps the audio of trials."""
        return self.scratch / "artifacts"

    @property
    def lock(self) -> Path:
        """Held while a trial is chosen."""
        return self.scratch / "queue.lock"

    def write(self, file: Path) -> None:
        values: dict[str, Any] = {
            "params": self.params.model_dump(),
            "paths": asdict(self.paths),
            "study": self.study,
            "storage": self.storage,
            "scratch": str(self.scratch),
        }
        write_json(values, file)

    @classmethod
    def read(cls, file: Path) -> "Job":
        values = json.loads(file.read_bytes())
        return cls(
            Params(**values["params"]),
            Paths(**values["paths"]),
            values["study"],
            values["storage"],
            Path(values["scratch"]),
        )
