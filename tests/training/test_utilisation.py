"""Operations of a step, and the arithmetic of the device."""

import pytest
import torch

from voxtwist import params
from voxtwist.device import DATA_SHEETS, choose_precision, data_sheet
from voxtwist.model.size import ModelSize
from voxtwist.training.utilisation import training_flops

TRAIN = params.load().train.model_copy(
    update={"restrict_speech": 0.0, "gradient_checkpointing": "none"}
)
FROZEN = ModelSize(
    weights=170, learning=10, layers=100, layers_learning=0, text_rows=60, new_rows=10,
    text_rows_learn=False, depth=2, width=4, inner=8, query=4, key=4,
)  # fmt: skip


def flops(size=FROZEN, again=False, **changes):
    train = TRAIN.model_copy(update=changes)
    return training_flops(size, train, 10, 50, 2, 3, again)


def test_frozen_weights_cost_no_gradient_of_their_own():
    attention = 3 * 4 * 4 * 2 * 50 / 2
    head = 5 * (4 * 60 + 6 * 10)
    assert flops() == 10 * 4 * 100 + attention + head


def test_a_restricted_softmax_leaves_the_text_rows_out():
    assert flops() - flops(restrict_speech=1.0) == 3 * 4 * 60


def test_only_an_estimate_counts_what_is_computed_again():
    full = {"gradient_checkpointing": "full"}
    assert flops(**full) == flops()
    assert flops(again=True, **full) == flops() + 10 * 2 * 100 + 4 * 4 * 2 * 50 / 2


def test_an_l40_is_no_l4():
    assert data_sheet("NVIDIA L40") is not data_sheet("NVIDIA L4")
    assert data_sheet("NVIDIA L400") is None
    assert data_sheet("NVIDIA H100 80GB HBM3") is DATA_SHEETS["NVIDIA H100 80GB HBM3"]


def test_measuring_a_cpu_draws_no_random_numbers():
    before = torch.get_rng_state()
    choose_precision("auto", torch.device("cpu"))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("real", "chosen"), [(True, "bf16"), (False, "fp32")])
def test_emulated_bf16_is_not_taken(monkeypatch, real, chosen):
    def supported(including_emulation=True):
        return including_emulation or real

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert choose_precision("auto", torch.device("cuda")) == chosen
