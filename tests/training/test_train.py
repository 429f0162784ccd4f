"""Training learns, and a killed training goes on as if nothing had happened."""

import contextlib
from collections import defaultdict

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from voxtwist import device, params
from voxtwist.errors import VoxtwistError
from voxtwist.training.state import StateFolder
from voxtwist.training.train import train

SETTINGS = params.load().train.model_copy(
    update={
        "freeze": "none",
        "epochs": 10.0, "batch_tokens": 256, "step_tokens": 512, "eval_steps": 4, "log_steps": 1,
        "save_steps": 3, "precision": "fp32", "learning_rate": 1e-2, "new_rows_learning_rate": 1e-2,
    }
)  # fmt: skip


class MemoryRun:
    """Keeps what is logged; dies at `die_at`."""

    id = "run"

    def __init__(self, die_at=None):
        self.metrics, self.die_at = defaultdict(list), die_at

    def log_metrics(self, metrics, step=0):
        if step == self.die_at:
            raise KeyboardInterrupt
        for name, value in metrics.items():
            self.metrics[name].append((step, value))

    def keep_metrics(self):
        pass


def run_training(tiny_twist, splits, output, run, settings=SETTINGS, key="k"):
    @contextlib.contextmanager
    def open_run(run_id):
        yield run

    return train(
        tiny_twist, splits / "train.jsonl", splits / "eval.jsonl", output / "best",
        output / "last", settings, 0, StateFolder(output / "states", key), open_run,
    )  # fmt: skip


def test_speech_dropout_disturbs_the_speech_that_training_reads_only(tiny_twist, splits, tmp_path):
    plain, disturbed = (
        run_training(
            tiny_twist, splits, tmp_path / str(share), MemoryRun(),
            SETTINGS.model_copy(update={"max_steps": 1, "speech_dropout": share}),
        )
        for share in (0.0, 0.5)
    )  # fmt: skip
    assert disturbed["before"] == plain["before"]
    losses, others = disturbed["last_step"], plain["last_step"]
    assert losses["loss_speech"] > 1.01 * others["loss_speech"]
    # Text comes before speech and cannot see it, but for the end of the turn.
    assert losses["loss_text"] == pytest.approx(others["loss_text"], rel=1e-4)


def test_it_learns_and_writes_plain_checkpoints(tiny_twist, splits, tmp_path):
    run = MemoryRun()
    result = run_training(tiny_twist, splits, tmp_path, run)
    assert result["after"]["loss_text"] < 0.6 * result["before"]["loss_text"]
    assert result["after"]["loss_speech"] < 0.9 * result["before"]["loss_speech"]
    steps = [step for step, _ in run.metrics["train/loss_speech"]]
    assert steps == list(range(1, result["steps"] + 1))
    assert run.metrics["train/tokens_per_second"][-1][1] > 0
    assert 0.1 < run.metrics["train/memory_gb"][-1][1] < 100
    rates = [rate for _, rate in run.metrics["train/learning_rate"]]
    assert max(rates) <= SETTINGS.learning_rate
    assert rates[-1] < 0.3 * max(rates)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "best")
    assert len(AutoTokenizer.from_pretrained(tmp_path / "best")) <= model.config.vocab_size
    assert not (tmp_path / "states").exists() or not list((tmp_path / "states").iterdir())


def test_the_best_checkpoint_is_kept_when_training_goes_on_to_a_worse_one(
    tiny_twist, splits, tmp_path
):
    run = MemoryRun()
    settings = SETTINGS.model_copy(
        update={"epochs": 40.0, "speech_dropout": 0.0, "restrict_speech": 1.0}
    )
    result = run_training(tiny_twist, splits, tmp_path, run, settings)
    losses = dict(run.metrics["eval/loss"])
    assert min(losses, key=losses.get) == result["after"]["step"] < result["steps"]
    assert result["after"]["loss"] == min(losses.values()) < result["last"]["loss"]
    best, last = (load_file(tmp_path / name / "model.safetensors") for name in ("best", "last"))
    assert any(not np.array_equal(best[name], last[name]) for name in best)


def test_gradients_are_clipped(tiny_twist, splits, tmp_path):
    # So far that AdamW's epsilon outweighs them: nothing moves any more.
    changes = {"max_steps": 2, "max_grad_norm": 1e-20, "weight_decay": 0.0}
    result = run_training(
        tiny_twist, splits, tmp_path, MemoryRun(), SETTINGS.model_copy(update=changes)
    )
    assert result["last"]["loss"] == pytest.approx(result["before"]["loss"], rel=1e-5)
    assert result["last_step"]["gradient_norm"] > 0.1


def test_a_killed_training_ends_with_the_same_weights(tiny_twist, splits, tmp_path):
    whole = MemoryRun()
    run_training(tiny_twist, splits, tmp_path / "whole", whole)
    killed, resumed = MemoryRun(die_at=8), MemoryRun()
    with pytest.raises(KeyboardInterrupt):
        run_training(tiny_twist, splits, tmp_path / "killed", killed)
    run_training(tiny_twist, splits, tmp_path / "killed", resumed)
    assert resumed.metrics["train/loss"][0][0] == 7  # goes on behind the state of step 6
    assert resumed.metrics["train/loss"][-1] == whole.metrics["train/loss"][-1]
    for name in ("best", "last"):
        expected = load_file(tmp_path / "whole" / name / "model.safetensors")
        found = load_file(tmp_path / "killed" / name / "model.safetensors")
        assert all(np.array_equal(expected[k], found[k]) for k in expected)


@pytest.fixture
def other_arithmetic():
    """Accelerate keeps one for the whole process: this forgets it."""
    yield lambda: AcceleratorState._reset_state(reset_partial_state=True)
    AcceleratorState._reset_state(reset_partial_state=True)


def test_a_training_goes_on_in_the_arithmetic_that_it_began_in(
    tiny_twist, splits, tmp_path, monkeypatch, other_arithmetic
):
    other_arithmetic()
    settings = SETTINGS.model_copy(update={"precision": "auto"})
    faster = {torch.bfloat16: 2, torch.float32: 1}
    monkeypatch.setattr(device, "_products", faster.__getitem__)
    with pytest.raises(KeyboardInterrupt):
        run_training(tiny_twist, splits, tmp_path, MemoryRun(die_at=8), settings)
    faster[torch.bfloat16] = 1
    result = run_training(tiny_twist, splits, tmp_path, MemoryRun(), settings)
    assert result["precision"] == "bf16"
    other_arithmetic()
    afresh = run_training(
        tiny_twist, splits, tmp_path / "afresh", MemoryRun(), settings, key="afresh"
    )
    assert afresh["precision"] == "fp32"
    # Of a training in bf16 the weights are fp32 all the same, and so is what they learn.
    assert result["after"]["loss"] == pytest.approx(afresh["after"]["loss"], rel=0.05)
    for name in ("best", "last"):
        weights = load_file(tmp_path / name / "model.safetensors")
        assert {tensor.dtype for tensor in weights.values()} == {np.dtype("float32")}


def test_other_settings_never_go_on_from_an_old_state(tiny_twist, splits, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_training(tiny_twist, splits, tmp_path, MemoryRun(die_at=8), key="old")
    run = MemoryRun()
    run_training(tiny_twist, splits, tmp_path, run, key="new")
    assert run.metrics["train/loss"][0][0] == 1


def test_a_loss_that_explodes_is_named(tiny_twist, splits, tmp_path):
    settings = SETTINGS.model_copy(update={"learning_rate": 1e30, "max_grad_norm": 1e30})
    with pytest.raises(
        VoxtwistError, match=r"gradient is .* at step \d+: lower train.learning_rate"
    ):
        run_training(tiny_twist, splits, tmp_path, MemoryRun(), settings)
