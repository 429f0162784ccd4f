"""Which samples a step holds, and that padding changes the work and not the loss."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtwist import params
from voxtwist.data.index import TokenIndex
from voxtwist.errors import VoxtwistError
from voxtwist.model.base import load_model, load_tokenizer
from voxtwist.training.batches import (
    disturb_speech,
    every_row,
    plan_rows,
    plan_steps,
    read_batch,
    share,
)
from voxtwist.training.spoken_model import SpokenModel
from voxtwist.vocabulary import SpeechVocabulary

TRAIN = params.load().train


def settings_with(**changes):
    return TRAIN.model_copy(update=changes)


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 300), min_size=1, max_size=60),
    st.sampled_from(["packed", "padded", "length_grouped"]),
    st.integers(1, 4),
)
def test_every_sample_is_in_one_row_and_rows_are_shared_evenly(lengths, batching, processes):
    lengths = np.array(lengths)
    plan = settings_with(batch_tokens=200, batching=batching, step_tokens=600, epochs=1.0)
    rows = plan_rows(lengths, plan, seed=0)
    assert sorted(np.concatenate(rows)) == list(range(len(lengths)))
    for row in rows:
        held = lengths[row].sum() if batching == "packed" else lengths[row].max() * len(row)
        assert held <= 200 or len(row) == 1
    if len(lengths) < processes:
        with pytest.raises(VoxtwistError, match="each needs one at least"):
            plan_steps(lengths, plan, processes, seed=0)
        return
    steps = plan_steps(lengths, plan, processes, seed=0)
    assert all(len(step) > 0 == len(step) % processes for step in steps)
    shared = np.concatenate([row for step in steps for row in step])
    assert len(set(shared)) == len(shared) > len(lengths) - processes


def test_a_step_holds_the_same_samples_however_many_processes_share_it():
    lengths = np.random.default_rng(0).integers(20, 60, 200)
    plan = settings_with(batch_tokens=256, step_tokens=1024, epochs=1.0)
    one, four = (plan_steps(lengths, plan, n, seed=3) for n in (1, 4))
    assert [sorted(np.concatenate(step)) for step in one] == [
        sorted(np.concatenate(step)) for step in four
    ]


def test_rows_of_one_sample_that_cannot_be_shared_are_left_out():
    rows = share([np.array([0]), np.array([1]), np.array([2])], 2)
    assert len(rows) == 2


def test_grouping_by_length_pads_less():
    lengths = np.random.default_rng(0).integers(10, 200, 2000)
    padding = {}
    for batching in ("padded", "length_grouped"):
        rows = plan_rows(lengths, settings_with(batch_tokens=2000, batching=batching), seed=0)
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
