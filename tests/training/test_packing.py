import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from voxtwist.training.packing import pack, utilisation

LENGTHS = st.lists(st.integers(1, 300), min_size=1, max_size=200).map(np.array)


@given(LENGTHS, st.integers(50, 400), st.integers(0, 3))
def test_every_sample_is_in_one_row_and_rows_keep_the_budget(lengths, budget, seed):
    rows = pack(lengths, budget, seed)
    assert sorted(np.concatenate(rows).tolist()) == list(range(len(lengths)))
    assert all(lengths[row].sum() <= budget or len(row) == 1 for row in rows)
    # Best fit: two rows that would fit into one are never left.
    space = sorted(int(lengths[row].sum()) for row in rows)
    assert len(space) < 2 or space[0] + space[1] > budget


def test_long_answers_fill_a_budget_of_4096_to_97_percent():
    # SLAM-Omni's lengths: mean 834, most below 1,381, a longer tail.
    lengths = np.random.default_rng(0).gamma(6, 139, 20_000).clip(80, 3000).astype(int)
    rows = pack(lengths, 4096, 0)
    assert utilisation(lengths, rows, 4096) >= 0.97


def test_rows_mix_long_and_short_samples_as_chance_does():
    lengths = np.random.default_rng(0).gamma(6, 139, 5_000).clip(80, 3000)
    rows = pack(lengths.astype(int), 4096, 0)
    between = sum(len(row) * (lengths[row].mean() - lengths.mean()) ** 2 for row in rows)
    assert between / ((lengths - lengths.mean()) ** 2).sum() < 1.3 * len(rows) / len(lengths)


def test_the_seed_changes_the_order_and_nothing_else_does():
    lengths = np.full(40, 10)
    one, same, other = (np.concatenate(pack(lengths, 50, seed)).tolist() for seed in (1, 1, 2))
    assert one == same != other
