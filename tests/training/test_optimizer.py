"""Learning rates over the steps, and which parameters cost what."""

import pytest
import torch

from voxtwist import params
from voxtwist.model.base import load_model, load_tokenizer
from voxtwist.training.optimizer import build_optimizer, build_schedule
from voxtwist.training.spoken_model import SpokenModel
from voxtwist.vocabulary import SpeechVocabulary

TRAIN = params.load().train.model_copy(
    update={"learning_rate": 1e-3, "new_rows_learning_rate": 4e-3, "weight_decay": 0.1}
)


def rates(steps: int, **changes: object) -> list[float]:
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = build_schedule(optimizer, steps, TRAIN.model_copy(update=changes))
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


@pytest.mark.parametrize(
    "warmup", [{"warmup_steps": 4}, {"warmup_steps": None, "warmup_ratio": 0.2}]
)
def test_linear_warm_up_by_steps_or_ratio_then_a_cosine_to_the_floor(warmup):
    found = rates(20, min_lr_ratio=0.1, **warmup)
    assert found[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert found[4] == pytest.approx(1.0)
    assert found[12] == pytest.approx(0.55)  # half way: the middle of 0.1 and 1
    assert found[4:] == sorted(found[4:], reverse=True)
    assert 0.1 < found[-1] < 0.12


def test_no_warm_up_and_no_floor():
    found = rates(10, warmup_steps=0, min_lr_ratio=0.0)
    assert found[0] == 1.0
    assert 0 < found[-1] < 0.03


def tiny_model(tiny_twist, **changes: object) -> tuple[SpokenModel, torch.optim.AdamW]:
    settings = TRAIN.model_copy(update=changes)
    vocabulary = SpeechVocabulary.from_tokenizer(load_tokenizer(tiny_twist))
    model = SpokenModel(load_model(tiny_twist), vocabulary, settings)
    return model, build_optimizer(model, settings)


def test_only_matrices_decay_and_new_rows_have_their_own_rate(tiny_twist):
    model, optimizer = tiny_model(tiny_twist, freeze="none")
    names = {parameter: name for name, parameter in model.named_parameters()}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            name = names.pop(parameter)
            free = "rows" in name or "norm" in name
            assert group["weight_decay"] == (0.0 if free else 0.1), name
            assert group["lr"] == (4e-3 if name.endswith("new_rows") else 1e-3), name
    assert not names  # each parameter is in one group


def test_frozen_parameters_cost_no_optimizer_memory(tiny_twist):
    held = {}
    for variant in ("none", "text_embeddings", "lower_layers:1", "all_but_new"):
        model, optimizer = tiny_model(tiny_twist, freeze=variant)
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
        optimizer.step()
        moments = [
            state[m] for state in optimizer.state.values() for m in ("exp_avg", "exp_avg_sq")
        ]
        held[variant] = sum(tensor.numel() for tensor in moments) // 2
    table = model.head
    layers = list(model.model.get_decoder().layers)
    assert held["none"] == sum(p.numel() for p in model.parameters())
    assert held["text_embeddings"] == held["none"] - table.text_rows.numel()
    one_layer = sum(p.numel() for p in layers[0].parameters())
    assert held["lower_layers:1"] == held["text_embeddings"] - one_layer
    assert held["all_but_new"] == table.new_rows.numel()
