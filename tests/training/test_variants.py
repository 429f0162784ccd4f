"""Every variant through the whole training: what is saved is the live model, what rests rests."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from voxtwist import params
from voxtwist.data.index import TokenIndex
from voxtwist.errors import VoxtwistError
from voxtwist.model.twist import twist_checkpoint
from voxtwist.params import Codec, Twist
from voxtwist.training.batches import read_batch
from voxtwist.training.checkpoints import Checkpoints, NoCheckpoints
from voxtwist.training.run import NoRun
from voxtwist.training.state import StateFolder
from voxtwist.training.train import Trainer

SETTINGS = params.load().train.model_copy(
    update={
        "freeze": "none",
        "epochs": 2.0, "batch_tokens": 256, "step_tokens": 512, "log_steps": 1,
        "precision": "fp32", "learning_rate": 1e-2, "new_rows_learning_rate": 1e-2,
        "weight_decay": 0.5, "keep_text": 0.0,
    }
)  # fmt: skip


class KilledRun(NoRun):
    """Ends the process, as it were, behind step 3."""

    def log_metrics(self, metrics, step=0):
        if step == 3:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def untied_twist(tiny_base, smollm2_tokenizer, tmp_path_factory):
    """As `tiny_twist`, with a head of its own."""
    folder = tmp_path_factory.mktemp("untied")
    torch.manual_seed(0)
    LlamaForCausalLM(
        LlamaConfig.from_pretrained(tiny_base, tie_word_embeddings=False)
    ).save_pretrained(folder / "base")
    smollm2_tokenizer.save_pretrained(folder / "base")
    codec = Codec(
        name="phones", n_codes=32, frame_rate_hz=25, path="unused", speaker=None, prompt_audio=None
    )
    twist = Twist(init="mean+std", noise=1.0, pad_to_multiple_of=128)
    twist_checkpoint(folder / "base", folder / "twist", codec, "v1.1", twist, seed=0)
    return folder / "twist"


@pytest.fixture(params=["tied", "untied"])
def twist(request):
    return request.getfixturevalue({"tied": "tiny_twist", "untied": "untied_twist"}[request.param])


def trained(twist, splits, output, run=None, **changes: object) -> Trainer:
    settings = SETTINGS.model_copy(update=changes)
    files = (splits / f"{name}.jsonl" for name in ("train", "eval"))
    trainer = Trainer(
        twist, *files, settings, 0, Checkpoints(StateFolder(output / "states", "key"))
    )
    trainer.run(run or NoRun())
    trainer.write(output / "best", output / "last")
    return trainer


@torch.no_grad()
def speech_logits(trainer: Trainer, splits) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids of a sample, and what the live model says of its next tokens."""
    trainer.module.eval()
    batch = read_batch(TokenIndex.open(splits / "eval.jsonl"), [0])
    hidden = trainer.module.model.get_decoder()(
        input_ids=batch.input_ids, position_ids=batch.position_ids, use_cache=False
    ).last_hidden_state
    head = trainer.module.head
    return batch.input_ids, hidden @ torch.cat([head.text_rows, head.new_rows]).T


def assert_same_weights(trainer: Trainer, other: Trainer, tolerance: float) -> None:
    found = trainer.module.state_dict()
    for name, tensor in other.module.state_dict().items():
        torch.testing.assert_close(found[name], tensor, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize(
    "freeze", ["none", "text_embeddings", "all_but_new", "lower_layers:1", "lora:2"]
)
def test_the_saved_checkpoint_is_plain_and_speaks_like_the_live_model(
    twist, splits, tmp_path, freeze
):
    trainer = trained(twist, splits, tmp_path, freeze=freeze)
    ids, live = speech_logits(trainer, splits)
    saved = AutoModelForCausalLM.from_pretrained(tmp_path / "last")
    before = AutoModelForCausalLM.from_pretrained(twist)
    assert type(saved) is type(before) is LlamaForCausalLM
    assert saved.state_dict().keys() == before.state_dict().keys()
    tables = [[m.get_input_embeddings(), m.get_output_embeddings()] for m in (before, saved)]
    text = trainer.module.head.text_rows.shape[0]
    for old, new in zip(*tables, strict=True):  # in spite of weight decay
        assert torch.equal(new.weight[:text], old.weight[:text]) == (freeze != "none")
        assert not torch.equal(new.weight[text:], old.weight[text:])
    assert (
        saved.lm_head.weight is saved.model.embed_tokens.weight
    ) == before.config.tie_word_embeddings
    with torch.no_grad():
        torch.testing.assert_close(saved(input_ids=ids).logits, live, atol=1e-6, rtol=1e-6)
    layers = [m.model.layers[0].mlp.up_proj.weight for m in (before, saved)]
    assert torch.equal(*layers) == (freeze in ("all_but_new", "lower_layers:1"))


@pytest.mark.parametrize("variant", ["selective", "full"])
def test_checkpointing_computes_layers_again_and_changes_nothing(
    tiny_twist, splits, tmp_path, monkeypatch, variant
):
    plain = trained(tiny_twist, splits, tmp_path / "plain", max_steps=4)
    settings = {"gradient_checkpointing": variant, "max_steps": 4, "save_steps": 2}
    with pytest.raises(KeyboardInterrupt):
        trained(tiny_twist, splits, tmp_path / "again", KilledRun(), **settings)
    calls = []
    mlp = type(plain.module.model.get_decoder().layers[0].mlp)
    forward = mlp.forward

    def counted(self, *arguments, **named):
        calls.append(self.training)
        return forward(self, *arguments, **named)

    monkeypatch.setattr(mlp, "forward", counted)
    again = trained(tiny_twist, splits, tmp_path / "again", **settings)  # behind step 2
    rows = sum(len(step) for step in again.steps[2:4])
    assert calls.count(True) == 2 * rows * len(again.module.model.get_decoder().layers)
    assert_same_weights(again, plain, 1e-6)


@pytest.mark.slow
def test_compiled_layers_learn_the_same(tiny_twist, splits, tmp_path):
    plain = trained(tiny_twist, splits, tmp_path / "plain", max_steps=3)
    compiled = trained(tiny_twist, splits, tmp_path / "compiled", max_steps=3, torch_compile=True)
    for layer in compiled.module.model.get_decoder().layers:
        assert layer._compiled_call_impl is not None
    assert_same_weights(compiled, plain, 1e-4)


def test_compiling_nothing_is_refused(tiny_twist, splits, tmp_path):
    with pytest.raises(VoxtwistError, match="torch_compile with train"):
        trained(tiny_twist, splits, tmp_path, torch_compile=True, gradient_checkpointing="full")


def test_a_kill_behind_a_better_checkpoint_leaves_the_one_that_the_state_names(
    tiny_twist, splits, tmp_path
):
    class KilledAtStep4(NoRun):
        def log_metrics(self, metrics, step=0):
            if step == 4:
                raise KeyboardInterrupt

    settings = {"max_steps": 4, "save_steps": 2, "eval_steps": 1, "learning_rate": 1e-4}
    with pytest.raises(KeyboardInterrupt):
        trained(tiny_twist, splits, tmp_path, KilledAtStep4(), **settings)
    states = StateFolder(tmp_path / "states", "key")
    state = states.load()
    assert state.step == state.best["step"] == 2
    assert states.best(3).exists()  # written, but no state names it yet
    kept = AutoModelForCausalLM.from_pretrained(states.best(2)).get_input_embeddings().weight
    rows = next(v for k, v in state.model.items() if k.endswith("new_rows"))
    assert torch.equal(kept[-len(rows) :], rows)
    trained(tiny_twist, splits, tmp_path, **settings)
    trained(tiny_twist, splits, tmp_path / "whole", **settings)
    best = [AutoModelForCausalLM.from_pretrained(tmp_path / f / "best") for f in ("", "whole")]
    for name, tensor in best[0].state_dict().items():
        torch.testing.assert_close(best[1].state_dict()[name], tensor, atol=1e-6, rtol=1e-6)


def test_a_step_weighs_tokens_however_they_are_dealt_into_batches(tiny_twist, splits, tmp_path):
    # Two rows of unlike share of speech, as one batch and as two.
    gradients = []
    for rows in ([[0, 1, 2]], [[0], [1, 2]]):
        trainer = Trainer(
            tiny_twist, *(splits / f"{name}.jsonl" for name in ("train", "eval")),
            SETTINGS.model_copy(update={"speech_weight": 2.0, "max_grad_norm": 1e9}), 0,
            NoCheckpoints(),
        )  # fmt: skip
        trainer.steps = [[np.array(row) for row in rows]]
        trainer.optimizer.step = trainer.optimizer.zero_grad = lambda: None
        trainer.optimizer_step(1)
        gradients.append({name: p.grad for name, p in trainer.module.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-6, rtol=1e-5)
