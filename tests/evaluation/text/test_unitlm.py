"""lm-eval on tiny checkpoints of ours: prompts, agreement with the stock model, speech masked."""

import math
from pathlib import Path

import pytest
import torch
from lm_eval import simple_evaluate
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from voxtwist.evaluation.text.suites import load_suites
from voxtwist.evaluation.text.unitlm import UnitLM
from voxtwist.vocabulary import ChatFormat, extend_tokenizer

CODES = 32
SIZES = {
    "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "tie_word_embeddings": True, "max_position_embeddings": 512,
}  # fmt: skip


def write_checkpoint(folder: Path, tokenizer: PreTrainedTokenizerFast, qwen: bool) -> Path:
    torch.manual_seed(0)
    extended = extend_tokenizer(tokenizer, CODES, "v1.1")
    rows = -(-len(extended) // 128) * 128
    if qwen:
        model = Qwen3ForCausalLM(Qwen3Config(vocab_size=rows, head_dim=16, **SIZES))
    else:
        model = LlamaForCausalLM(LlamaConfig(vocab_size=rows, **SIZES))
    model.save_pretrained(folder)
    extended.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def llama(
    tmp_path_factory: pytest.TempPathFactory, smollm2_tokenizer: PreTrainedTokenizerFast
) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("llama"), smollm2_tokenizer, qwen=False)


@pytest.fixture(scope="module")
def qwen(
    tmp_path_factory: pytest.TempPathFactory, qwen3_tokenizer: PreTrainedTokenizerFast
) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("qwen"), qwen3_tokenizer, qwen=True)


def likelihoods(model: HFLM, pairs: list[tuple[str, str]]) -> list[float]:
    requests = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(pairs)]
    return [value for value, _ in model.loglikelihood(requests, disable_tqdm=True)]


PAIRS = [("Question: What colour?\nAnswer:", answer) for answer in (" Red", " Dark green", " Blue")]


def test_agrees_with_the_stock_model(llama: Path) -> None:
    ours = likelihoods(UnitLM(str(llama), device="cpu", batch_size=2), PAIRS)
    assert ours == pytest.approx(likelihoods(HFLM(str(llama), device="cpu"), PAIRS), abs=1e-3)


def test_stock_lm_eval_gives_the_same_answers_to_multiple_choice(llama: Path) -> None:
    def run(model: HFLM) -> tuple[dict[str, float], list[list[tuple[float, bool]]]]:
        (suite,) = load_suites(["trivia"])
        results = simple_evaluate(
            model, tasks=suite.top, limit=20, task_manager=TaskManager(include_defaults=False)
        )
        samples = results["samples"]["trivia"]
        return results["results"]["trivia"], [sample["filtered_resps"] for sample in samples]

    ours, our_answers = run(UnitLM(str(llama), device="cpu", batch_size=8))
    stock, stock_answers = run(HFLM(str(llama), device="cpu", batch_size=8))
    assert ours["acc,none"] == stock["acc,none"]
    assert ours["acc_norm,none"] == stock["acc_norm,none"]
    for one, other in zip(our_answers, stock_answers, strict=True):
        assert [score for score, _ in one] == pytest.approx([score for score, _ in other], abs=1e-3)


def test_masked_speech_gives_its_probability_to_text(llama: Path) -> None:
    free, masked = (UnitLM(str(llama), mask_speech=mask, device="cpu") for mask in (False, True))
    one_token = PAIRS[:1]
    (before,), (after,) = likelihoods(free, one_token), likelihoods(masked, one_token)
    assert masked.leaked_mass == 0
    assert 0 < free.leaked_mass < 0.01
    assert after - before == pytest.approx(-math.log1p(-free.leaked_mass), rel=0.02)


def test_leaked_mass_is_of_the_answers_since_the_reset(llama: Path) -> None:
    model = UnitLM(str(llama), device="cpu")
    likelihoods(model, PAIRS)
    first = model.leaked_mass
    model.reset_leaked_mass()
    assert model.leaked_mass == 0
    likelihoods(model, PAIRS)
    assert model.leaked_mass == pytest.approx(first)


@pytest.mark.parametrize("checkpoint", ["llama", "qwen"])
def test_chat_prompts_are_those_of_training(
    checkpoint: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(checkpoint)
    model = UnitLM(str(folder), answer_prefix="<text>", device="cpu")
    chat = ChatFormat.from_tokenizer(model.tokenizer)
    prompt = model.apply_chat_template([{"role": "user", "content": "What is 7 plus 8?"}])
    expected = [*chat.prompt_ids("What is 7 plus 8?"), chat.vocabulary.text_start]
    assert model.tok_encode(prompt) == expected


def bias_towards(model: UnitLM, ids: list[int]) -> None:
    """Make generation say these ids, one after another, whatever it was asked."""
    step = {"n": 0}

    def forced(module: object, inputs: object, output: object) -> object:
        wanted = ids[min(step["n"], len(ids) - 1)]
        output.logits[:, -1, wanted] = 1e4
        step["n"] += 1
        return output

    model.model.register_forward_hook(forced)


def answer(model: UnitLM) -> str:
    arguments = ("Say it:", {"until": ["\n\n"], "max_gen_toks": 12})
    return model.generate_until([Instance("generate_until", {}, arguments, 0)], disable_tqdm=True)[
        0
    ]


def test_answers_end_with_their_text_and_hold_no_speech(llama: Path) -> None:
    model = UnitLM(str(llama), device="cpu")
    v = model.vocabulary
    words = model.tokenizer.encode(" The answer is C", add_special_tokens=False)
    after = model.tokenizer.encode(" never said", add_special_tokens=False)
    bias_towards(model, [v.text_start, v.code_offset + 3, *words, v.text_end, *after])
    assert answer(model).strip() == "The answer is C"


def test_masked_speech_is_not_generated(llama: Path) -> None:
    model = UnitLM(str(llama), mask_speech=True, device="cpu")
    bias_towards(model, [model.vocabulary.code_offset + 3])
    assert answer(model) != ""  # the forced code is suppressed, so something else is said


def test_a_model_without_speech_is_an_ordinary_one(
    tmp_path: Path, smollm2_tokenizer: PreTrainedTokenizerFast
) -> None:
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(vocab_size=len(smollm2_tokenizer), **SIZES)).save_pretrained(
        tmp_path
    )
    smollm2_tokenizer.save_pretrained(tmp_path)
    model = UnitLM(str(tmp_path), mask_speech=True, device="cpu")
    assert likelihoods(model, PAIRS) == pytest.approx(
        likelihoods(HFLM(str(tmp_path), device="cpu"), PAIRS), abs=1e-3
    )
    assert model.leaked_mass == 0
