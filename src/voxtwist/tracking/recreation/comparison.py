"""A model and its recreation side by side: the same bytes, or figures within a tolerance."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from mlflow.entities import Run

from voxtwist.errors import VoxtwistError
from voxtwist.tracking.query import hashes_of

# Losses and accuracies of the evaluation split at the last step, and what the evaluation stages
# log. The others measure the machine (`system/`, tokens per second) or single training batches.
COMPARED = ("eval/", "text/", "speech/")
TOLERANCE = 0.05  # nats a token of a loss; share of an accuracy or error rate

Verdict = Literal["identical", "within tolerance", "different"]


@dataclass(frozen=True)
class Tolerance:
    """The largest accepted absolute difference, of all metrics and of some by name or prefix."""

    default: float
    of: Mapping[str, float]

    @classmethod
    def parse(cls, texts: Sequence[str]) -> "Tolerance":
        """Read `0.05` (of all) and `eval/loss=0.1` (of names that start so).

        Raises:
            VoxtwistError: no number, or a negative one.
        """
        default, of = TOLERANCE, {}
        for text in texts:
            name, _, number = text.rpartition("=")
            try:
                value = float(number)
            except ValueError:
                value = -1.0
            if not value >= 0:  # NaN neither
                raise VoxtwistError(f"tolerance {text!r}: give 0.05, or eval/loss=0.1")
            if name:
                of[name] = value
            else:
                default = value
        return cls(default, of)

    def __call__(self, metric: str) -> float:
        """The tolerance of one metric: that of its longest matching prefix."""
        matching = [name for name in self.of if metric.startswith(name)]
        return self.of[max(matching, key=len)] if matching else self.default


@dataclass(frozen=True)
class Difference:
    """A metric of both runs."""

    metric: str
    original: float
    recreated: float
    tolerance: float

    @property
    def accepted(self) -> bool:
        # Written so that NaN is refused, unless both are.
        both_nan = self.original != self.original and self.recreated != self.recreated
        return both_nan or abs(self.recreated - self.original) <= self.tolerance


@dataclass(frozen=True)
class Comparison:
    """
    Attributes:
        checkpoint: md5 of the original checkpoint (None: it was never recorded) and the new one.
        data: of the inputs whose hashes differ, by name: the original's and the recreation's.
        environment: the same of `version.*` and `hardware.*` tags, the usual reasons for
            other bytes.
    """

    checkpoint: tuple[str | None, str]
    metrics: list[Difference]
    data: dict[str, tuple[str, str | None]]
    environment: dict[str, tuple[str, str | None]]

    @property
    def verdict(self) -> Verdict:
        """Without a metric in common nothing speaks for other bytes being the same model."""
        if self.checkpoint[0] == self.checkpoint[1]:
            return "identical"
        if self.metrics and all(difference.accepted for difference in self.metrics):
            return "within tolerance"
        return "different"

    def as_dict(self) -> dict[str, Any]:
        return {"verdict": self.verdict, **asdict(self)}


def compare_runs(
    original: Run, recreated: Run, checkpoint: tuple[str | None, str], tolerance: Tolerance
) -> Comparison:
    """
    Args:
        checkpoint: md5 of the original one and of the new one.
    """
    before, after = original.data.metrics, recreated.data.metrics
    common = sorted(name for name in before.keys() & after.keys() if name.startswith(COMPARED))
    tags = original.data.tags, recreated.data.tags
    environment = _changed(
        *({k: v for k, v in one.items() if k.startswith(("version.", "hardware."))} for one in tags)
    )
    data = _changed(*(hashes_of(one) for one in tags))
    data.pop("checkpoint", None)
    return Comparison(
        checkpoint,
        [Difference(name, before[name], after[name], tolerance(name)) for name in common],
        data,
        environment,
    )


def _changed(
    before: Mapping[str, str], after: Mapping[str, str]
) -> dict[str, tuple[str, str | None]]:
    return {
        name: (value, after.get(name))
        for name, value in sorted(before.items())
        if after.get(name) != value
    }
