"""From tokens to a waveform: batches, seeds, speed, voices."""

import numpy as np
import pytest
import torch

from voxtwist.codec.base import SpeechCodec
from voxtwist.codec.cosyvoice import CosyVoice, CosyVoiceCodec, Prompt
from voxtwist.codec.cosyvoice.adapter import DEFAULT_SPEAKER
from voxtwist.codec.cosyvoice.flow import interpolate
from voxtwist.errors import VoxtwistError

LENGTHS = [55, 1, 41, 120, 40, 2, 55]


@pytest.fixture(scope="module")
def utterances() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 4096, length) for length in LENGTHS]


@pytest.fixture(scope="module")
def cloned(golden) -> Prompt:
    given = golden["n120_p77"]
    return Prompt(given["speaker"], given["prompt_tokens"].long(), given["prompt_mel"])


@pytest.mark.parametrize("prompted", [False, True])
def test_batches_give_what_each_utterance_gives_alone(cosyvoice, utterances, cloned, prompted):
    voice = cloned if prompted else cosyvoice.speaker(DEFAULT_SPEAKER)
    batched = dict(cosyvoice.decode_many(utterances, voice, speed=0.9, seed=3, batch_size=4))
    assert sorted(batched) == list(range(len(utterances)))
    for i, tokens in enumerate(utterances):
        alone = cosyvoice.decode(tokens, voice, speed=0.9, seed=3)
        torch.testing.assert_close(batched[i], alone, atol=1e-4, rtol=0)


def test_padded_rows_of_the_flow_are_exact(cosyvoice, golden):
    long, short = golden["n120_p77"], golden["n55_p30"]["tokens"]
    tokens = torch.zeros(2, 120, dtype=torch.int32)
    tokens[0], tokens[1, :55] = long["tokens"], short
    own = 132 + 94
    noise = torch.cat([long["noise"], long["noise"] * 7])
    voice = long["speaker"], long["prompt_tokens"], long["prompt_mel"]
    mel = cosyvoice.flow(tokens, *voice, noise, lengths=[120, 55])
    alone = cosyvoice.flow(short, *voice, noise[1:, :, :own])
    torch.testing.assert_close(mel[:1], long["mel"], atol=1e-4, rtol=0)
    torch.testing.assert_close(mel[1:, :, :94], alone, atol=1e-4, rtol=0)
    assert not mel[1, :, 94:].any()


def test_decode_is_flow_then_speed_then_vocoder(cosyvoice, utterances):
    voice = cosyvoice.speaker(DEFAULT_SPEAKER)
    generator = torch.Generator().manual_seed(5)
    tokens = torch.from_numpy(utterances[0])[None]
    mel = cosyvoice.flow(tokens, voice.speaker, generator=generator)
    assert mel.shape == (1, 80, int(55 / 50 * 22_050 / 256))
    mel = interpolate(mel, int(mel.shape[2] / 1.3))
    wave = cosyvoice.decode(tokens, DEFAULT_SPEAKER, speed=1.3, seed=5)
    assert wave.shape == (1, 256 * mel.shape[2])
    torch.testing.assert_close(wave, cosyvoice.vocoder(mel, generator=generator), atol=1e-5, rtol=0)


def test_seed_decides_the_waveform(cosyvoice, utterances):
    first, again, other = (
        cosyvoice.decode(utterances[0], DEFAULT_SPEAKER, seed=seed) for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.allclose(first, other, atol=1e-3)


@pytest.mark.parametrize(
    ("tokens", "options", "message"),
    [
        ([], {}, "no speech tokens"),
        ([5, 4096], {}, "4096 at position 1 is outside 0–4095"),
        ([-1], {}, "-1 at position 0"),
        ([0.5], {}, "whole numbers"),
        ([1], {"speed": 0.0}, "above 0"),
        ([1], {"speed": float("nan")}, "above 0"),
        ([1], {"speed": 2.0}, "leaves nothing of 1 mel frames"),
        ([1], {"steps": 0}, "at least 1"),
        ([1], {"voice": "nobody"}, DEFAULT_SPEAKER),
    ],
)
def test_bad_input_is_named(cosyvoice, tokens, options, message):
    with pytest.raises(VoxtwistError, match=message):
        cosyvoice.decode(tokens, **({"voice": DEFAULT_SPEAKER} | options))


def test_missing_speakers_are_named(tiny_dir):
    with pytest.raises(VoxtwistError, match=r"spk2info\.pt does not exist"):
        CosyVoice.load(tiny_dir).speaker(DEFAULT_SPEAKER)


def test_codec_decodes_as_the_model_does(full_dir, cosyvoice, utterances):
    codec = CosyVoiceCodec(full_dir, speaker=DEFAULT_SPEAKER, seed=2)
    assert isinstance(codec, SpeechCodec)
    assert (codec.sample_rate, codec.frame_rate_hz, codec.vocab_size) == (22_050, 50, 4096)
    wave = codec.decode(utterances[0])
    assert wave.dtype == np.float32
    np.testing.assert_array_equal(wave, cosyvoice.decode(utterances[0], DEFAULT_SPEAKER, seed=2)[0])


def test_bf16_estimator_stays_close(tiny_dir, golden):
    given = golden["n55_p30"]
    model = CosyVoice.load(tiny_dir, precision=torch.bfloat16)
    voice = given["speaker"], given["prompt_tokens"], given["prompt_mel"]
    difference = model.flow(given["tokens"], *voice, given["noise"]) - given["mel"]
    assert 1e-4 < difference.abs().max().item() < 0.1
