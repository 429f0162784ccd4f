"""The search space: `sweep.space` of params.yaml, checked before anything starts."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from pydantic import ValidationError

from voxtwist.errors import VoxtwistError
from voxtwist.params import Params, Range, explain
from voxtwist.tracking.runs import flatten

SECTIONS = ("train", "twist")
# Set by the sweep itself, or not part of training.
FIXED = {
    "train.max_steps": "sweep.max_steps is the budget of a trial",
    "train.max_hours": "sweep.max_minutes is the budget of a trial",
    "train.eval_steps": "sweep.eval_steps says when trials are compared",
    "train.eval_samples": "sweep.eval_samples says what trials are compared on",
    "train.log_steps": "it changes nothing that is trained",
    "train.save_steps": "it changes nothing that is trained",
}
Values = dict[str, Any]


class Space:
    """What a trial may change, and the settings that it changes.

    Attributes:
        distributions: by dotted name, for example `train.learning_rate`.
    """

    def __init__(self, params: Params) -> None:
        """
        Raises:
            VoxtwistError: a name that is no setting of `train` or `twist`, an empty or impossible
                range, or a value that the setting does not take.
        """
        self.params = params
        self._current = flatten({name: getattr(params, name).model_dump() for name in SECTIONS})
        if not params.sweep.space:
            raise VoxtwistError(
                "sweep.space is empty: name a setting, such as "
                "train.learning_rate: {log: [1e-4, 1e-3]}"
            )
        self.distributions = {
            name: self._distribution(name, spec) for name, spec in params.sweep.space.items()
        }

    @property
    def current(self) -> Values:
        """The settings as they are, if all of them lie in the space, else nothing."""
        values = {name: self._current[name] for name in self.distributions}
        inside = all(_holds(self.distributions[name], value) for name, value in values.items())
        return values if inside else {}

    def touches(self, section: str) -> bool:
        return any(name.startswith(f"{section}.") for name in self.distributions)

    def finite(self, section: str) -> bool:
        """Whether a section takes a limited number of settings: it is searched by choices only."""
        return all(
            isinstance(distribution, CategoricalDistribution)
            for name, distribution in self.distributions.items()
            if name.startswith(f"{section}.")
        )

    def values(self, suggested: Values) -> Values:
        """What a trial uses of what the sampler suggested: floats of three digits."""
        return {name: _rounded(self.distributions[name], suggested[name]) for name in suggested}

    def apply(self, values: Values) -> Params:
        """The whole settings with `values` in their places."""
        return with_values(self.params, values)

    def _distribution(self, name: str, spec: list[Any] | Range) -> BaseDistribution:
        self._check_name(name)
        if isinstance(spec, Range):
            return self._range(name, spec)
        if not spec:
            raise VoxtwistError(f"sweep.space: {name} has no choices: [] is empty")
        choices = [self._valid(name, value) for value in spec]
        if len({repr(choice) for choice in choices}) < len(choices):
            raise VoxtwistError(f"sweep.space: {name} names a choice twice: {spec}")
        return CategoricalDistribution(choices)

    def _check_name(self, name: str) -> None:
        if name in FIXED:
            raise VoxtwistError(f"sweep.space: {name} cannot be searched: {FIXED[name]}")
        if name == "train.restrict_speech" and self.params.sweep.objective == "speech_nll":
            raise VoxtwistError(
                f"sweep.space: {name} changes what speech_nll means: set sweep.objective to wer"
            )
        if name in self._current:
            return
        close = get_close_matches(name, self._current, n=1)
        hint = f"did you mean {close[0]}?" if close else "search settings of train and twist"
        raise VoxtwistError(f"sweep.space: {name} is not a setting that can be searched: {hint}")

    def _range(self, name: str, spec: Range) -> BaseDistribution:
        low, high = spec.log or spec.range or (0, 0)
        if low >= high:
            raise VoxtwistError(f"sweep.space: {name} goes from {low} to {high}: that is empty")
        if spec.log and low <= 0:
            raise VoxtwistError(f"sweep.space: {name} is logarithmic from {low}: start above 0")
        if spec.step and spec.step > high - low:
            raise VoxtwistError(f"sweep.space: {name}: step {spec.step} is wider than the range")
        for end in (low, high):
            self._valid(name, end)
        numbers = (low, high, *([spec.step] if spec.step else []))
        whole = all(isinstance(number, int) for number in numbers)
        if whole and not isinstance(self._current[name], float):
            return IntDistribution(
                int(low), int(high), log=spec.log is not None, step=int(spec.step or 1)
            )
        return FloatDistribution(low, high, log=spec.log is not None, step=spec.step)

    def _valid(self, name: str, value: Any) -> Any:
        """The value as the setting holds it: PyYAML reads `1e-5` as text."""
        section, setting = name.split(".")
        try:
            changed = with_values(self.params, {name: value})
        except ValidationError as error:
            raise VoxtwistError(f"sweep.space: {explain(error)}") from None
        return getattr(getattr(changed, section), setting)


def _holds(distribution: BaseDistribution, value: Any) -> bool:
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return isinstance(value, int | float) and distribution.low <= value <= distribution.high


def _rounded(distribution: BaseDistribution, value: Any) -> Any:
    if not isinstance(distribution, FloatDistribution):
        return value
    return min(max(float(f"{value:.3g}"), distribution.low), distribution.high)


def with_values(params: Params, values: Mapping[str, Any]) -> Params:
    """Settings with others in the place of some, by dotted name; validated.

    Raises:
        ValidationError: a value that its setting does not take.
    """
    settings = params.model_dump()
    for name, value in values.items():
        section, setting = name.split(".")
        settings[section][setting] = value
    return Params(**settings)
