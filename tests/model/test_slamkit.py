"""`UnitLM` wrapper checkpoints, written in their own layout, become plain ones."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)
from typer.testing import CliRunner

from voxtwist.cli.main import app
from voxtwist.errors import VoxtwistError
from voxtwist.evaluation.text.unitlm import UnitLM
from voxtwist.model.slamkit import import_slamkit
from voxtwist.vocabulary import SpeechVocabulary

CODES = 32
SIZES = {
    "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
    "num_key_value_heads": 1, "tie_word_embeddings": True,
}  # fmt: skip


def write_unitlm(folder: Path, stock: torch.nn.Module, pickled: bool = False) -> Path:
    """As the wrapper saves itself: the stock model is its attribute `lm`."""
    folder.mkdir()
    config = {
        "architectures": ["UnitLM"], "model_type": "speech_language_model",
        "base_config": stock.config.to_dict(), "vocab_size": stock.config.vocab_size,
        "twist_init": True,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    weights = {f"lm.{name}": tensor.clone() for name, tensor in stock.state_dict().items()}
    if pickled:
        torch.save(weights, folder / "pytorch_model.bin")
    else:
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


def llama(rows: int, **changes: object) -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(vocab_size=rows, **(SIZES | changes))).eval()


@pytest.fixture(scope="module")
def tokenizer_folder(
    smollm2_tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    smollm2_tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("fmt", "marks"), [("v1", 0), ("v1.1", 4)])
def test_the_format_is_told_and_the_logits_are_equal(
    fmt: str, marks: int, tokenizer_folder: Path, tmp_path: Path
) -> None:
    text_ids = len(AutoTokenizer.from_pretrained(tokenizer_folder))
    stock = llama(text_ids + marks + CODES)
    wrapper = write_unitlm(tmp_path / "unitlm", stock, pickled=fmt == "v1")
    assert import_slamkit(wrapper, tmp_path / "plain", tokenizer_folder, n_codes=CODES) == fmt
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "plain")
    assert type(plain) is LlamaForCausalLM
    ids = torch.tensor([[5, 77, text_ids + marks, text_ids + marks + CODES - 1]])
    torch.testing.assert_close(plain(ids).logits, stock(ids).logits, rtol=0, atol=0)
    vocabulary = SpeechVocabulary.from_tokenizer(AutoTokenizer.from_pretrained(tmp_path / "plain"))
    assert (vocabulary.format, vocabulary.code_offset) == (fmt, text_ids + marks)


@pytest.mark.slow
def test_qwen3_has_its_speech_where_the_old_experiments_had_it(
    qwen3_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    qwen3_tokenizer.save_pretrained(tmp_path / "tokenizer")
    for rows, fmt, first in ((155_765, "v1", 151_669), (155_769, "v1.1", 151_673)):
        config = Qwen3Config(vocab_size=rows, head_dim=8, **(SIZES | {"hidden_size": 8}))
        wrapper = write_unitlm(tmp_path / fmt, Qwen3ForCausalLM(config))
        assert import_slamkit(wrapper, tmp_path / f"{fmt}-plain", tmp_path / "tokenizer") == fmt
        tokenizer = AutoTokenizer.from_pretrained(tmp_path / f"{fmt}-plain")
        assert tokenizer.convert_tokens_to_ids("<|s_0|>") == first


def test_an_untied_head_is_kept(tokenizer_folder: Path, tmp_path: Path) -> None:
    text_ids = len(AutoTokenizer.from_pretrained(tokenizer_folder))
    stock = llama(text_ids + CODES, tie_word_embeddings=False)
    import_slamkit(
        write_unitlm(tmp_path / "unitlm", stock), tmp_path / "plain", tokenizer_folder,
        n_codes=CODES,
    )  # fmt: skip
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "plain")
    ids = torch.tensor([[5, 77]])
    torch.testing.assert_close(plain(ids).logits, stock(ids).logits, rtol=0, atol=0)


def test_padded_rows_need_the_format(tokenizer_folder: Path, tmp_path: Path) -> None:
    text_ids = len(AutoTokenizer.from_pretrained(tokenizer_folder))
    wrapper = write_unitlm(tmp_path / "unitlm", llama(text_ids + 128))
    with pytest.raises(VoxtwistError, match=r"cannot be told: say --format v1 or v1\.1"):
        import_slamkit(wrapper, tmp_path / "plain", tokenizer_folder, n_codes=CODES)
    done = CliRunner().invoke(
        app,
        ["import-slamkit", str(wrapper), str(tmp_path / "plain"), "--tokenizer",
         str(tokenizer_folder), "--format", "v1.1", "--n-codes", str(CODES)],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "format v1.1, 32 codes" in done.output
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "plain").config.vocab_size == (
        text_ids + 128
    )


def test_lm_eval_takes_the_wrapper_itself(tokenizer_folder: Path, tmp_path: Path) -> None:
    text_ids = len(AutoTokenizer.from_pretrained(tokenizer_folder))
    stock = llama(text_ids + 4 + CODES)
    wrapper = write_unitlm(tmp_path / "unitlm", stock)
    model = UnitLM(str(wrapper), tokenizer=str(tokenizer_folder), n_codes=CODES, device="cpu")
    assert model.vocabulary is not None
    assert model.vocabulary.format == "v1.1"
    ids = torch.tensor([[5, 77]])
    torch.testing.assert_close(model.model(ids).logits, stock(ids).logits)
    with pytest.raises(VoxtwistError, match="give the base model's as tokenizer"):
        UnitLM(str(wrapper), device="cpu")


def test_what_is_no_wrapper_is_said(
    tiny_base: Path, tokenizer_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(VoxtwistError, match="holds no UnitLM checkpoint"):
        import_slamkit(tiny_base, tmp_path / "plain", tokenizer_folder)
    wrapper = write_unitlm(tmp_path / "small", llama(64))
    with pytest.raises(VoxtwistError, match=r"has 64 embedding rows, but .* give the tokenizer"):
        import_slamkit(wrapper, tmp_path / "plain", tokenizer_folder, "v1", CODES)
