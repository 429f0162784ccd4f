"""Base models of strangers: each is loaded whole, or refused in one line that says why."""

import ast
import copy
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

import voxtwist
from voxtwist.errors import VoxtwistError
from voxtwist.model import twist
from voxtwist.model.base import check_base, fetch_base, load_model
from voxtwist.params import Codec, Twist
from voxtwist.vocabulary import SpeechVocabulary, load_extended_tokenizer

TABLE = "model.embed_tokens.weight"
LAYER = "model.layers.1.mlp.up_proj.weight"


@pytest.fixture
def base(tiny_base, tmp_path):
    """A copy of the tiny base that may be spoilt."""
    return Path(shutil.copytree(tiny_base, tmp_path / "base"))


def edit_json(file, **changes):
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def edit_weights(folder, change):
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def lfs_pointer(folder):
    (folder / "model.safetensors").write_text(
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 269060552\n"
    )


def tokenizer_pointer(folder):
    lfs_pointer(folder)
    (folder / "model.safetensors").rename(folder / "tokenizer.json")


def half_a_download(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def half_a_config(folder):
    (folder / "config.json").write_text('{"architectures": ["Llama')


def foreign_file(folder):
    (folder / "model.safetensors").write_bytes(b"<html>404 Not Found</html>")


def absent_shard(folder):
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    index = {"weight_map": {TABLE: "model-00001-of-00002.safetensors",
                            LAYER: "model-00002-of-00002.safetensors"}}  # fmt: skip
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


class Malicious:
    def __reduce__(self):
        return (Path.touch, (Path("EXECUTED"),))


def pickle_with_code(folder):
    (folder / "model.safetensors").unlink()
    torch.save({"weight": Malicious()}, folder / "pytorch_model.bin")


def code_beside_the_weights(folder):
    own = {"AutoConfig": "own.C", "AutoModelForCausalLM": "own.M"}
    edit_json(folder / "config.json", model_type="own", auto_map=own)
    (folder / "own.py").write_text("open('EXECUTED', 'w')\n")


def code_in_the_tokenizer(folder):
    (folder / "tokenizer.json").unlink()
    edit_json(
        folder / "tokenizer_config.json",
        tokenizer_class="OwnTokenizer", auto_map={"AutoTokenizer": ["own.T", None]},
    )  # fmt: skip
    (folder / "own.py").write_text("open('EXECUTED', 'w')\n")


SPOILT = {
    lfs_pointer: r"model\.safetensors is a Git-LFS pointer",
    tokenizer_pointer: r"tokenizer\.json is a Git-LFS pointer",
    half_a_download: r"model\.safetensors is no complete safetensors file",
    half_a_config: r"config\.json is not JSON",
    foreign_file: r"model\.safetensors is no complete safetensors file",
    absent_shard: r"lacks model-00002-of-00002\.safetensors",
    pickle_with_code: r"pytorch_model\.bin cannot be read as plain tensors",
    code_beside_the_weights: "needs code of its own, which Voxtwist never runs",
    code_in_the_tokenizer: "needs code of its own, which Voxtwist never runs",
}
WEIGHTS = {
    r"1 is missing: model\.layers\.1\.mlp\.up_proj\.weight": lambda w: w.pop(LAYER),
    r"1 is not of its architecture: model\.layers\.2\.x": lambda w: w.update(
        {"model.layers.2.x": torch.ones(2)}
    ),
    r"1 is of another shape: model\.norm\.weight \(31,\) instead of \(32,\)": lambda w: w.update(
        {"model.norm.weight": torch.ones(31)}
    ),
    r"NaN or infinite \(model\.norm\.weight\)": lambda w: w["model.norm.weight"].fill_(torch.nan),
}
QUANTISED = {
    "gptq": {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": False},
    "awq": {"quant_method": "awq", "bits": 4, "group_size": 128, "version": "gemm"},
    "bitsandbytes": {"quant_method": "bitsandbytes", "load_in_4bit": True},
}


def refused(folder, tmp_path, monkeypatch, message):
    """By preflight and by the stage `base`, in one line, before anything is written or run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("builtins.input", lambda prompt="": "y")
    for load in (check_base, lambda source: fetch_base(source, None, tmp_path / "out")):
        with pytest.raises(VoxtwistError, match=message) as error:
            load(str(folder))
        assert "\n" not in str(error.value)
        assert "trust_remote_code" not in str(error.value)
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.rglob("EXECUTED"))


@pytest.mark.parametrize("spoil", SPOILT, ids=lambda spoil: spoil.__name__)
def test_a_broken_folder_is_refused_by_the_file_that_is_broken(base, tmp_path, monkeypatch, spoil):
    spoil(base)
    refused(base, tmp_path, monkeypatch, SPOILT[spoil])


@pytest.mark.parametrize("message", WEIGHTS)
def test_weights_that_do_not_fit_are_refused_by_name(base, tmp_path, monkeypatch, message):
    edit_weights(base, WEIGHTS[message])
    refused(base, tmp_path, monkeypatch, message)


@pytest.mark.parametrize("method", QUANTISED)
def test_quantised_bases_are_refused(base, tmp_path, monkeypatch, method):
    edit_json(base / "config.json", quantization_config=QUANTISED[method])
    refused(base, tmp_path, monkeypatch, rf"is quantised \({method}\)")


def test_an_untied_head_that_is_not_in_the_file_is_refused(base, tmp_path, monkeypatch):
    edit_json(base / "config.json", tie_word_embeddings=False)
    refused(base, tmp_path, monkeypatch, r"1 is missing: lm_head\.weight")


@pytest.mark.parametrize("same", [True, False])
def test_a_head_beside_a_tied_embedding_is_kept_where_it_differs(base, tmp_path, same):
    edit_weights(base, lambda w: w.update({"lm_head.weight": w[TABLE] + (0 if same else 1)}))
    check_base(base)
    assert load_model(base).config.tie_word_embeddings == same
    twisted = twisted_model(base, tmp_path)
    rows = twisted.get_output_embeddings().weight[:49152]
    assert torch.equal(rows, load_file(base / "model.safetensors")["lm_head.weight"])


def twisted_model(base, tmp_path, init="mean+std"):
    codec = Codec(
        name="phones", n_codes=50, frame_rate_hz=25, path="unused", speaker=None, prompt_audio=None
    )
    settings = Twist(init=init, noise=0.1, pad_to_multiple_of=128)
    twist.twist_checkpoint(base, tmp_path / "twist", codec, "v1.1", settings, seed=1)
    return AutoModelForCausalLM.from_pretrained(tmp_path / "twist")


@pytest.mark.parametrize("named", [False, True], ids=["tokenizer only", "config too"])
@pytest.mark.parametrize("added", [1, 200])
def test_rows_are_placed_by_id_where_the_tokenizer_has_more_ids(
    base, tmp_path, monkeypatch, smollm2_tokenizer, added, named
):
    """Speech rows are the codec's vectors seen through a linear map: R² with them is nearly 1."""
    tokenizer = copy.deepcopy(smollm2_tokenizer)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    tokenizer.add_tokens([f"<extra_{i}>" for i in range(added - 1)])
    tokenizer.save_pretrained(base)
    if named:
        edit_json(base / "config.json", pad_token_id=tokenizer.pad_token_id)
    vectors = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(twist, "load_code_vectors", lambda codec: vectors)
    fetch_base(str(base), None, tmp_path / "fetched")
    table = twisted_model(tmp_path / "fetched", tmp_path, "codec").get_input_embeddings().weight
    vocabulary = SpeechVocabulary.from_tokenizer(load_extended_tokenizer(tmp_path / "twist"))
    assert vocabulary.text_size == 49152 + added
    speech = table[vocabulary.code_offset : vocabulary.size].detach()
    known = torch.cat([vectors, torch.ones(50, 1)], 1)
    rest = speech - known @ torch.linalg.lstsq(known, speech).solution
    assert 1 - float(rest.var() / speech.var()) > 0.98
    # The ids without a row have one like the others, and the others are untouched.
    base_table = load_file(base / "model.safetensors")[TABLE]
    assert torch.equal(table[:49152], base_table)
    new = table[49152 : vocabulary.text_size]
    assert float(new.detach().std()) == pytest.approx(float(base_table.std()), rel=0.35)


def test_no_code_of_a_model_is_ever_trusted():
    """Every Auto class is called with trust_remote_code=False, here and in whatever comes."""
    package = Path(voxtwist.__file__).parent
    calls = [
        (file, node)
        for file in [*package.rglob("*.py"), *(package.parents[1] / "pipelines").rglob("*.py")]
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "from_pretrained"
        and getattr(node.func.value, "id", "").startswith("Auto")
    ]
    assert len(calls) >= 4
    for file, call in calls:
        trust = {
            k.arg: ast.literal_eval(k.value) for k in call.keywords if "trust" in (k.arg or "")
        }
        assert trust == {"trust_remote_code": False}, (file, call.lineno)
