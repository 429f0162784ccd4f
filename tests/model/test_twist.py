"""The extended model: rows, ids, geometry, and a checkpoint that stock tools load."""

import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from voxtwist.errors import VoxtwistError
from voxtwist.model.twist import new_rows, twist_checkpoint
from voxtwist.params import Codec, Twist
from voxtwist.vocabulary import SpeechVocabulary

VOCABULARY = SpeechVocabulary(30, 100, 34, 30, 31, 32, 33, 2)


def rows(init, code_vectors=None, noise=0.1):
    generator = torch.Generator().manual_seed(0)
    text = 3 + 2 * torch.randn(30, 64, generator=generator)
    settings = Twist(init=init, noise=noise, pad_to_multiple_of=128)
    return text, new_rows(text, 256, VOCABULARY, settings, code_vectors, generator)


def test_codec_rows_lie_close_where_codes_sound_alike():
    vectors = torch.randn(100, 20)
    vectors[1] = vectors[0] + 0.01
    text, new = rows("codec", vectors)
    speech = new[4:104]
    assert new.shape == (226, 64)
    distance = torch.cdist(speech, speech)
    assert distance[0, 1] < 0.3 * distance[0, 2:].min()
    torch.testing.assert_close(speech.mean(0), text.mean(0), atol=0.3, rtol=0)
    torch.testing.assert_close(speech.std(0), text.std(0), atol=0.2, rtol=0.1)


@pytest.mark.parametrize(("init", "spread"), [("mean", 0.0), ("mean+std", 0.2), ("normal", 0.02)])
def test_other_schemes_have_their_stated_spread(init, spread):
    text, new = rows(init)
    assert float(new.std(0).mean()) == pytest.approx(spread, rel=0.15)
    centre = 0 if init == "normal" else float(text.mean())
    assert float(new.mean()) == pytest.approx(centre, abs=0.1)


def test_codec_init_needs_a_vector_for_every_code():
    with pytest.raises(VoxtwistError, match="99 code vectors for 100 codes"):
        rows("codec", torch.randn(99, 20))


def test_checkpoint_is_plain_and_keeps_the_text_rows(tiny_base, tmp_path):
    codec = Codec(name="kmeans", n_codes=50, path="unused", speaker=None, prompt_audio=None)
    settings = Twist(init="mean+std", noise=1.0, pad_to_multiple_of=128)
    metrics = twist_checkpoint(tiny_base, tmp_path / "twist", codec, "v1.1", settings, seed=1)
    base = AutoModelForCausalLM.from_pretrained(tiny_base)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "twist")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "twist")
    table = model.get_input_embeddings().weight
    assert len(table) % 128 == 0
    assert len(table) >= len(tokenizer) == 49152 + 4 + 50
    assert table.data_ptr() == model.get_output_embeddings().weight.data_ptr()
    assert torch.equal(table[:49152], base.get_input_embeddings().weight)
    assert 0 < metrics["speech_mass"] < 1
    config = json.loads((tmp_path / "twist" / "config.json").read_text())
    assert config["torch_dtype"] == "float32"
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"]
