"""A mistake in the search space is refused by name, before anything starts."""

from pathlib import Path

import pytest
import yaml
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from voxtwist import params
from voxtwist.errors import VoxtwistError
from voxtwist.sweep.space import Space
from voxtwist.sweep.study import study_name
from voxtwist.sweep.trial import within_budget

PARAMS = Path(__file__).parents[2] / "params.yaml"


def load(tmp_path, text: str, **sweep):
    """params.yaml with another space, written as a user writes it."""
    settings = yaml.safe_load(PARAMS.read_text())
    settings["sweep"] |= {"space": yaml.safe_load(text), **sweep}
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump(settings))
    return params.load(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train.lerning_rate: {log: [1e-4, 1e-3]}", "did you mean train.learning_rate"),
        ("data.format: [v1, v1.1]", "search settings of train and twist"),
        ("train.learning_rate: {log: [1e-3, 1e-4]}", "train.learning_rate goes from 0.001 to 0.00"),
        ("train.learning_rate: {range: [0.1, 0.1]}", "that is empty"),
        ("train.weight_decay: {log: [0, 0.1]}", "train.weight_decay is logarithmic from 0"),
        ("train.learning_rate: {range: [-1, 1]}", "train.learning_rate is -1.*greater than 0"),
        ("train.warmup_ratio: {range: [0, 2]}", "train.warmup_ratio is 2.*less than or equal to 1"),
        ("train.batch_tokens: {range: [256, 512], step: 1000}", "step 1000 is wider"),
        ("train.freeze: []", "train.freeze has no choices"),
        ("train.freeze: [none, lorax]", "train.freeze is 'lorax'"),
        ("train.freeze: [none, none]", "train.freeze names a choice twice"),
        ("train.epochs: [many]", "train.epochs is 'many'.*valid number"),
        ("twist.noise: {range: [-1, 1]}", "twist.noise is -1"),
        ("train.max_steps: [10, 20]", "sweep.max_steps is the budget"),
        ("train.restrict_speech: [1.0, 0.5]", "changes what speech_nll means"),
        ("train.learning_rate: {log: [1, 2], range: [1, 2]}", "give one of"),
        ("train.learning_rate: {lgo: [1, 2]}", "lgo"),
        ("{}", "sweep.space is empty"),
    ],
)
def test_a_mistake_is_named(tmp_path, text, message):
    with pytest.raises(VoxtwistError, match=message):
        Space(load(tmp_path, text))


def test_numbers_written_as_yaml_reads_them(tmp_path):
    # PyYAML takes 1e-4 for text.
    found = Space(
        load(
            tmp_path,
            "train.learning_rate: {log: [1e-4, 1e-3]}\n"
            "train.max_grad_norm: {range: [1, 3]}\n"
            "train.batch_tokens: {range: [256, 1024], step: 256}\n"
            "train.weight_decay: [0, 1e-2]\n"
            "train.step_tokens: [null, 1280]\n",
        )
    ).distributions
    assert found == {
        "train.learning_rate": FloatDistribution(1e-4, 1e-3, log=True),
        "train.max_grad_norm": FloatDistribution(1, 3),
        "train.batch_tokens": IntDistribution(256, 1024, step=256),
        "train.weight_decay": CategoricalDistribution([0.0, 0.01]),
        "train.step_tokens": CategoricalDistribution([None, 1280]),
    }


def test_a_trial_gets_settings_of_three_digits_inside_the_space(tmp_path):
    space = Space(
        load(
            tmp_path,
            "{train.learning_rate: {log: [1.0004e-4, 1e-3]}, twist.init: [normal, mean]}",
        )
    )
    assert space.values({"train.learning_rate": 0.00056789})["train.learning_rate"] == 0.000568
    values = space.values({"train.learning_rate": 1.0004e-4, "twist.init": "mean"})
    assert values["train.learning_rate"] == 1.0004e-4
    changed = space.apply(values)
    assert (changed.train.learning_rate, changed.twist.init) == (1.0004e-4, "mean")
    assert changed.train.freeze == space.params.train.freeze


def test_the_present_settings_are_a_trial_only_inside_the_space(tmp_path):
    inside = "{train.learning_rate: {log: [1e-4, 1e-3]}, train.freeze: [text_embeddings, lora:4]}"
    space = Space(load(tmp_path, inside))
    assert space.current == {
        "train.learning_rate": space.params.train.learning_rate,
        "train.freeze": "text_embeddings",
    }
    outside = "{train.learning_rate: {log: [1e-4, 2e-4]}, train.freeze: [text_embeddings]}"
    assert Space(load(tmp_path, outside)).current == {}


def test_what_makes_another_study(tmp_path):
    space = "train.learning_rate: {log: [1e-4, 1e-3]}"
    base = load(tmp_path, space)
    data = {"train": "a"}

    def name(changed, hashes=data):
        return study_name(Space(changed), hashes)

    def train(**changes):
        return base.model_copy(update={"train": base.train.model_copy(update=changes)})

    same = name(base)
    # More trials, the best value as the new default, and how long a process may run.
    assert name(load(tmp_path, space, trials=99)) == same
    assert name(train(learning_rate=9e-4)) == same
    assert name(train(max_hours=1.0)) == same
    others = [
        name(load(tmp_path, "train.learning_rate: {log: [1e-4, 2e-3]}")),
        name(load(tmp_path, space, max_steps=41)),
        name(train(batch_tokens=641)),
        name(base, {"train": "b"}),
    ]
    assert len({same, *others}) == 5


def test_the_smallest_budget_counts(tmp_path):
    space = "train.batch_tokens: [320, 640]"
    sweep = load(tmp_path, space, max_steps=50, max_tokens=6400, max_minutes=3).sweep
    train = load(tmp_path, space).train
    assert within_budget(train, sweep).max_steps == 10
    cut = within_budget(train.model_copy(update={"batch_tokens": 64}), sweep)
    assert cut.max_steps == 50
    assert cut.max_hours == 0.05
    assert cut.eval_steps == sweep.eval_steps
    unlimited = sweep.model_copy(update={"max_steps": None, "max_tokens": None})
    assert within_budget(train, unlimited).max_steps is train.max_steps is None
