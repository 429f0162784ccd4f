"""Which samples a step holds, and that padding changes the work and not the loss."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtwist import params
from voxtwist.data.index import TokenIndex
from voxtwist.model.base import load_model, load_tokenizer
from voxtwist.training.batches import (
    disturb_speech,
    every_row,
    plan_rows,
    plan_steps,
    read_batch,
    unlabelled,
)
from voxtwist.training.optimizer import build_schedule
from voxtwist.training.spoken_model import SpokenModel
from voxtwist.vocabulary import SpeechVocabulary

TRAIN = params.load().train


def settings_with(**changes):
    return TRAIN.model_copy(update=changes)


def sets(steps):
    """The samples of each step, in no order."""
    return [sorted(np.concatenate(step).tolist()) for step in steps]


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 300), min_size=1, max_size=60),
    st.sampled_from(["packed", "padded", "length_grouped"]),
    st.integers(1, 9),
    st.sampled_from([None, 150, 600, 730]),
)
def test_any_devices_take_the_same_steps_and_every_sample_once_an_epoch(
    lengths, batching, processes, step_tokens
):
    lengths = np.array(lengths)
    plan = settings_with(batch_tokens=200, batching=batching, step_tokens=step_tokens, epochs=2.0)
    steps = plan_steps(lengths, plan, processes, seed=0)
    assert sets(steps) == sets(plan_steps(lengths, plan, 1, seed=0))
    assert all(len(step) > 0 == len(step) % processes for step in steps)
    for row in (row for step in steps for row in step if len(row) > 1):
        held = lengths[row].sum() if batching == "packed" else lengths[row].max() * len(row)
        assert held <= 200
    order = [sample for step in sets(steps) for sample in step]
    for epoch in (order[: len(lengths)], order[len(lengths) :]):
        assert sorted(epoch) == list(range(len(lengths)))


@pytest.mark.parametrize("step_tokens", [None, 1024, 3000])
@pytest.mark.parametrize("devices", [(1, 2, 1), (4, 2), (2, 4), (8, 3, 1)])
def test_a_training_that_changes_its_devices_trains_every_sample_once_an_epoch(
    devices, step_tokens
):
    lengths = np.random.default_rng(0).integers(20, 400, 300)
    plan = settings_with(batch_tokens=1024, step_tokens=step_tokens, epochs=3.0)
    plans = [plan_steps(lengths, plan, n, seed=3) for n in devices]
    assert len({len(steps) for steps in plans}) == 1
    # Each takes over where the one before it was stopped.
    stops = np.linspace(0, len(plans[0]), len(devices) + 1).astype(int)
    trained = [
        step for steps, (a, b) in zip(plans, pairwise(stops), strict=True) for step in steps[a:b]
    ]
    seen = np.bincount(np.concatenate([row for step in trained for row in step]), minlength=300)
    assert (seen == 3).all()


def test_the_learning_rate_after_as_many_samples_is_that_of_one_device():
    lengths = np.random.default_rng(0).integers(20, 400, 300)
    for step_tokens in (None, 3000):
        plan = settings_with(batch_tokens=1024, step_tokens=step_tokens, epochs=2.0)
        curves = []
        for processes in (1, 2, 4, 8):
            steps = plan_steps(lengths, plan, processes, seed=3)
            seen = np.cumsum([sum(map(len, step)) for step in steps])
            optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
            factor = build_schedule(optimizer, len(steps), plan).lr_lambdas[0]
            curves.append([(samples, factor(step)) for step, samples in enumerate(seen)])
        assert all(curve == curves[0] for curve in curves)


@pytest.mark.parametrize("step_tokens", [48_000, 53_376, 131_072])
def test_a_step_holds_the_step_tokens_that_were_asked_for_on_1_to_8_devices(step_tokens):
    lengths = np.clip(np.random.default_rng(0).normal(834, 250, 4000), 100, 2000).astype(int)
    plan = settings_with(batch_tokens=16_384, step_tokens=step_tokens, epochs=1.0)
    one = plan_steps(lengths, plan, 1, seed=0)
    for processes in range(1, 9):
        steps = plan_steps(lengths, plan, processes, seed=0)
        assert sets(steps) == sets(one)
        tokens = [sum(int(lengths[row].sum()) for row in step) for step in steps[:-1]]
        assert np.mean(tokens) == pytest.approx(step_tokens, rel=0.02)
        assert max(lengths[row].sum() for step in steps for row in step) <= 16_384
        busiest = [  # the device that all others wait for, against an even share
            max(sum(lengths[row].sum() for row in step[r::processes]) for r in range(processes))
            for step in steps[:-1]
        ]
        assert np.mean(busiest) < 1.15 * step_tokens / max(processes, 1)


def test_the_slam_omni_preset_takes_about_6150_steps_an_epoch_on_1_to_8_devices():
    preset = yaml.safe_load(Path("presets/slam-omni.yaml").read_text(encoding="utf-8"))["train"]
    # A tenth of 85 % of 463,071 rows, of 834 tokens on average.
    lengths = np.random.default_rng(0).lognormal(size=39_361, sigma=0.4)
    lengths = np.clip(834 * lengths / lengths.mean(), 80, 4000).astype(int)
    for processes in (1, 4, 8):
        steps = plan_steps(lengths, settings_with(**preset), processes, seed=0)
        assert len(steps) == pytest.approx(615, rel=0.03)
        assert np.mean([sum(map(len, step)) for step in steps]) == pytest.approx(64, rel=0.03)


def test_grouping_by_length_pads_less():
    lengths = np.random.default_rng(0).integers(10, 200, 2000)
    padding = {}
    for batching in ("padded", "length_grouped"):
        rows = plan_rows(lengths, settings_with(batching=batching), 2000, seed=0)
        padding[batching] = sum(lengths[row].max() * len(row) for row in rows) / lengths.sum()
    assert padding["length_grouped"] < 1.1 < 1.4 < padding["padded"]


def test_padded_packed_and_single_samples_have_the_same_loss(tiny_twist, splits):
    index = TokenIndex.open(splits / "train.jsonl")
    vocabulary = SpeechVocabulary.from_tokenizer(load_tokenizer(tiny_twist))
    model = SpokenModel(load_model(tiny_twist), vocabulary, TRAIN)
    samples = np.arange(7)

    def loss(*batches):
        tallies = [model(batch)[1] for batch in batches]
        return torch.stack(
            [sum(t[kind].nll for t in tallies) / sum(t[kind].count for t in tallies)
             for kind in ("text", "speech")]
        )  # fmt: skip

    with torch.no_grad():
        alone = loss(*(read_batch(index, samples[i : i + 1]) for i in samples))
        packed = loss(read_batch(index, samples))
        padded_batch = read_batch(index, samples, padded=True)
        padded = loss(padded_batch)
    assert padded_batch.input_ids.shape[1] == 7 * index.lengths[:7].max()
    torch.testing.assert_close(packed, alone, atol=0, rtol=1e-6)
    torch.testing.assert_close(padded, alone, atol=0, rtol=1e-6)


def test_a_row_without_labels_teaches_nothing_and_still_has_all_gradients(tiny_twist, splits):
    index = TokenIndex.open(splits / "train.jsonl")
    vocabulary = SpeechVocabulary.from_tokenizer(load_tokenizer(tiny_twist))
    model = SpokenModel(load_model(tiny_twist), vocabulary, settings_with(freeze="none"))
    loss, tallies = model(unlabelled(read_batch(index, np.array([0]))))
    loss.backward()
    assert loss == tallies["text"].count == tallies["speech"].count == 0
    assert all((p.grad == 0).all() for p in model.parameters())


def test_disturbed_speech_keeps_text_labels_and_the_share(tiny_twist, splits):
    vocabulary = SpeechVocabulary.from_tokenizer(load_tokenizer(tiny_twist))
    index = TokenIndex.open(splits / "train.jsonl")
    samples = np.arange(len(index))
    batch = read_batch(index, samples)
    disturbed = disturb_speech(batch, samples, 0.3, vocabulary, [1, 2])
    before, after = batch.input_ids[0].numpy(), disturbed.input_ids[0].numpy()
    speech = vocabulary.is_speech(before)
    assert (vocabulary.is_speech(after) == speech).all()
    assert (after == before)[~speech].all()
    assert 0.2 < (after != before)[speech].mean() < 0.4
    assert torch.equal(disturbed.labels, batch.labels)


def test_a_sample_is_disturbed_the_same_in_any_batch_and_anew_in_each_step(tiny_twist, splits):
    vocabulary = SpeechVocabulary.from_tokenizer(load_tokenizer(tiny_twist))
    index = TokenIndex.open(splits / "train.jsonl")

    def inputs(samples, step, padded=False):
        samples = np.array(samples)
        batch = read_batch(index, samples, padded)
        ids = disturb_speech(batch, samples, 0.5, vocabulary, [7, step]).input_ids[0]
        first = int(batch.boundaries[samples.tolist().index(5)])
        return ids[first : first + int(index.lengths[5])].tolist()

    assert inputs([5], 3) == inputs([4, 9, 5], 3) == inputs([5, 2, 4], 3, padded=True)
    assert inputs([5], 3) != inputs([5], 4)


def test_evaluation_draws_its_samples_by_the_seed_and_not_the_first_ones():
    index = type("Index", (), {"lengths": np.full(1000, 10), "__len__": lambda self: 1000})()

    def drawn(limit, seed):
        return sorted(np.concatenate(every_row(index, 64, limit, seed)).tolist())

    chosen = drawn(50, 1)
    assert len(set(chosen)) == 50
    assert chosen == drawn(50, 1) != drawn(50, 2)
    assert 300 < np.mean(chosen) < 700
    assert drawn(None, 1) == drawn(5000, 1) == list(range(1000))
