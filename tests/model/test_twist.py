"""The extended model: rows, ids, geometry, and a checkpoint that stock tools load."""

import json

import numpy as np
import orjson
import pytest
import torch
from scipy import sparse
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GraniteConfig,
    GraniteForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
)

from voxtwist.data.index import TokenIndex
from voxtwist.errors import VoxtwistError
from voxtwist.model.alignment import aligned_vectors, count_cooccurrence, spans
from voxtwist.model.twist import new_rows, twist_checkpoint
from voxtwist.params import Codec, Twist
from voxtwist.vocabulary import ChatFormat, SpeechVocabulary, extend_tokenizer

VOCABULARY = SpeechVocabulary(30, 100, 34, 30, 31, 32, 33, 2)


def rows(init, code_vectors=None, noise=0.1, counts=None):
    generator = torch.Generator().manual_seed(0)
    text = 3 + 2 * torch.randn(30, 64, generator=generator)
    settings = Twist(init=init, noise=noise, pad_to_multiple_of=128)
    return text, new_rows(text, 256, VOCABULARY, settings, code_vectors, generator, counts)


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


def said_together(sound_of):
    """Counts in which code c sounds while token `sound_of[c]` is said, and nothing else."""
    return sparse.coo_matrix((np.ones(100), (np.arange(100), sound_of)), (100, 30)).tocsr()


def test_aligned_rows_lie_where_the_words_are_that_they_say():
    sound_of = np.arange(100) % 30
    text, new = rows("aligned", counts=said_together(sound_of))
    speech = new[4:104]
    nearest = torch.cdist(speech, text).argmin(1)
    assert nearest.tolist() == sound_of.tolist()
    torch.testing.assert_close(speech.std(0), text.std(0), atol=0.2, rtol=0.1)


def test_aligned_and_codec_rows_follow_both():
    sound_of = np.arange(100) % 30
    vectors = torch.randn(100, 20)
    _, both = rows("aligned+codec", vectors, counts=said_together(sound_of))
    _, codec = rows("codec", vectors)
    _, aligned = rows("aligned", counts=said_together(sound_of))
    for one in (codec, aligned):
        pair = torch.stack([one[4:104].flatten(), both[4:104].flatten()])
        assert torch.corrcoef(pair)[0, 1] == pytest.approx(0.5**0.5, abs=0.05)


def test_a_token_that_is_said_everywhere_says_nothing():
    """Two codes share token 0, which is half of all; what tells them apart are tokens 1 and 2."""
    counts = sparse.csr_matrix(np.array([[5.0, 5.0, 0.0], [5.0, 0.0, 5.0]]))
    table = torch.eye(3)
    vectors = aligned_vectors(counts, table)
    torch.testing.assert_close(vectors, (table - table.mean(0))[[1, 2]])


@pytest.mark.parametrize("init", ["aligned", "aligned+codec"])
def test_aligned_init_needs_the_training_split(init):
    with pytest.raises(VoxtwistError, match="it needs the training split"):
        rows(init, torch.randn(100, 20))


def write_split(folder, samples):
    lines = [{"input_ids": s.input_ids.tolist(), "labels": s.labels.tolist()} for s in samples]
    file = folder / "train.jsonl"
    file.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    return TokenIndex.open(file)


@pytest.mark.parametrize("fmt", ["v1", "v1.1"])
def test_frames_are_counted_for_the_text_that_they_sound_in(smollm2_tokenizer, tmp_path, fmt):
    tokenizer = extend_tokenizer(smollm2_tokenizer, 8, fmt)
    chat = ChatFormat.from_tokenizer(tokenizer)
    # Two words of eight and nine characters, with four codes each.
    text = smollm2_tokenizer("tomorrow Saturday", add_special_tokens=False)["input_ids"]
    codes = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    samples = chat.encode_batch(["When?"], ["tomorrow Saturday"], [codes])
    counts = count_cooccurrence(write_split(tmp_path, samples), tokenizer, seed=0)
    assert counts.shape == (8, 49152)
    assert counts.sum() == pytest.approx(len(codes))
    first = smollm2_tokenizer("tomorrow", add_special_tokens=False)["input_ids"]
    second = text[len(first) :]
    said = counts.toarray()
    # Of the twelve places of each word, one at the border may be its neighbour's.
    assert said[0, first].sum() >= 11 / 3
    assert said[1, second].sum() >= 11 / 3
    assert said[2:].sum() == 0


@pytest.mark.parametrize("fmt", ["v1", "v1.1"])
def test_an_empty_thinking_block_is_not_said(qwen3_tokenizer, fmt):
    tokenizer = extend_tokenizer(qwen3_tokenizer, 8, fmt)
    chat = ChatFormat.from_tokenizer(tokenizer)
    [sample] = chat.encode_batch(["When?"], ["tomorrow Saturday"], [np.array([3, 1])])
    text, codes = spans({"input_ids": sample.input_ids, "labels": sample.labels}, chat)
    assert tokenizer.decode(text.tolist()) == "tomorrow Saturday"
    assert codes.tolist() == [3, 1]


def test_a_sample_of_the_split_is_drawn_by_the_seed(smollm2_tokenizer, tmp_path):
    tokenizer = extend_tokenizer(smollm2_tokenizer, 64, "v1.1")
    chat = ChatFormat.from_tokenizer(tokenizer)
    samples = chat.encode_batch(["Q?"] * 60, ["Yes."] * 60, [np.array([i]) for i in range(60)])
    index = write_split(tmp_path, samples)

    def drawn(seed):
        counts = count_cooccurrence(index, tokenizer, seed, samples=20)
        return np.unique(counts.nonzero()[0]).tolist()

    assert len(drawn(1)) == 20
    assert drawn(1) == drawn(1) != drawn(2)


def test_checkpoint_is_plain_and_keeps_the_text_rows(tiny_base, tmp_path):
    codec = Codec(
        name="phones", n_codes=50, frame_rate_hz=25, path="unused", speaker=None, prompt_audio=None
    )
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


@pytest.mark.parametrize("tied", [True, False])
def test_spare_rows_of_the_base_are_made_anew_in_both_tables(smollm2_tokenizer, tmp_path, tied):
    torch.manual_seed(0)
    text = len(smollm2_tokenizer)
    config = LlamaConfig(
        vocab_size=text + 200, hidden_size=32, intermediate_size=64, num_hidden_layers=1,
        num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=tied,
    )  # fmt: skip
    base = LlamaForCausalLM(config)
    for table in (base.get_input_embeddings(), base.get_output_embeddings()):
        table.weight.data[text:] = 9.0
    base.save_pretrained(tmp_path / "base")
    smollm2_tokenizer.save_pretrained(tmp_path / "base")
    codec = Codec(
        name="phones", n_codes=50, frame_rate_hz=25, path="unused", speaker=None, prompt_audio=None
    )
    settings = Twist(init="mean+std", noise=1.0, pad_to_multiple_of=128)
    twist_checkpoint(tmp_path / "base", tmp_path / "twist", codec, "v1.1", settings, seed=1)
    twisted = AutoModelForCausalLM.from_pretrained(tmp_path / "twist")
    assert (twisted.get_input_embeddings().weight is twisted.get_output_embeddings().weight) == tied
    for table in (twisted.get_input_embeddings(), twisted.get_output_embeddings()):
        old, new = table.weight[:text], table.weight[text:]
        assert len(table.weight) % 128 == 0
        assert new.std().item() == pytest.approx(old.std().item(), rel=0.1)
        assert new.max().item() < 9


def test_a_model_that_scales_its_logits_is_refused(smollm2_tokenizer, tmp_path):
    config = GraniteConfig(
        vocab_size=len(smollm2_tokenizer), hidden_size=32, intermediate_size=64,
        num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2, logits_scaling=4.0,
    )  # fmt: skip
    GraniteForCausalLM(config).save_pretrained(tmp_path / "base")
    smollm2_tokenizer.save_pretrained(tmp_path / "base")
    codec = Codec(
        name="phones", n_codes=50, frame_rate_hz=25, path="unused", speaker=None, prompt_audio=None
    )
    settings = Twist(init="mean+std", noise=1.0, pad_to_multiple_of=128)
    with pytest.raises(VoxtwistError, match="GraniteForCausalLM does more to its logits"):
        twist_checkpoint(tmp_path / "base", tmp_path / "twist", codec, "v1.1", settings, seed=1)
