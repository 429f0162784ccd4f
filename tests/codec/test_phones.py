"""The codec of phones on the embedded voice, taught for seconds instead of minutes."""

import numpy as np
import pytest
import pyworld
from tests.tiny_codec import tiny_codec

from voxtwist.codec.audio import resample
from voxtwist.codec.base import SpeechCodec
from voxtwist.codec.phones import PhoneCodec, world
from voxtwist.codec.phones.fit import Effort, Utterance, fit
from voxtwist.codec.phones.pairs import choose_pairs
from voxtwist.corpus.voice import SAMPLE_RATE, phones_of, resample_pitch, speak_labelled
from voxtwist.errors import VoxtwistError

SENTENCES = ["Three plus four is seven.", "It is half past nine.", "Where are you going today?"]
EFFORT = Effort(head_steps=80, decoder_steps=80, batch=4)


@pytest.fixture(scope="module")
def utterances() -> list[Utterance]:
    return list(speak_labelled(SENTENCES))


@pytest.fixture(scope="module")
def codec(utterances) -> PhoneCodec:
    return fit(utterances, 80, seed=0, effort=EFFORT)


def loudness(wave: np.ndarray) -> np.ndarray:
    """Log of the mean amplitude in each 40 ms."""
    frames = len(wave) // 960
    return np.log(np.abs(wave[: frames * 960]).reshape(frames, 960).mean(1) + 1e-3)


def test_it_is_a_speech_codec_with_twenty_five_codes_per_second(codec, utterances):
    assert isinstance(codec, SpeechCodec)
    wave = utterances[0].waveform
    codes = codec.encode(wave, SAMPLE_RATE)
    assert codes.dtype == np.int64
    assert len(codes) == np.ceil(round(len(wave) / SAMPLE_RATE * 50) / 2)
    assert 0 <= codes.min() <= codes.max() < codec.vocab_size == 80
    assert len(codec.decode(codes)) == 960 * len(codes)
    assert codec.code_vectors.shape == (80, 512)


def test_it_hears_most_of_the_phones_that_it_was_taught(codec, utterances):
    right = []
    for utterance in utterances:
        codes = codec.encode(utterance.waveform, SAMPLE_RATE)
        heard = [codec.phones[phone] for phone in codec.pairs[codes].ravel()]
        right += [a == b for a, b in zip(heard, utterance.phones, strict=False)]
    assert np.mean(right) > 0.8


def test_what_it_speaks_is_as_loud_as_what_it_heard(codec, utterances):
    for utterance in utterances:
        spoken = codec.decode(codec.encode(utterance.waveform, SAMPLE_RATE))
        expected, found = (
            loudness(utterance.waveform),
            loudness(spoken)[: len(utterance.waveform) // 960],
        )
        assert np.corrcoef(expected, found)[0, 1] > 0.7


def test_decoding_repeats_bit_for_bit_and_survives_saving(codec, utterances, tmp_path):
    wave = utterances[2].waveform
    codes = codec.encode(wave, SAMPLE_RATE)
    codec.save(tmp_path)
    again = PhoneCodec.load(tmp_path)
    assert again.phones == codec.phones
    assert np.array_equal(again.encode(wave, SAMPLE_RATE), codes)
    assert np.array_equal(again.decode(codes), codec.decode(codes))
    [(index, batched)] = again.decode_many([codes])
    assert index == 0
    assert np.array_equal(batched, codec.decode(codes))


def test_the_same_seed_fits_the_same_codec(utterances):
    few = Effort(head_steps=3, decoder_steps=3, batch=2)
    first, second = (fit(utterances, 60, seed=5, effort=few) for _ in range(2))
    codes = np.arange(60)
    assert np.array_equal(first.decode(codes), second.decode(codes))


def test_any_rate_is_read(codec, utterances):
    wave = utterances[0].waveform
    ours, other = (
        codec.encode(wave, SAMPLE_RATE),
        codec.encode(resample(wave, SAMPLE_RATE, 16_000), 16_000),
    )
    assert len(other) == len(ours)
    assert np.mean(other == ours) > 0.9


@pytest.mark.parametrize("length", [1, 2, 3])
def test_the_shortest_answers_are_decoded_too(codec, length):
    wave = codec.decode(np.arange(length))
    assert wave.shape == (960 * length,)
    assert np.isfinite(wave).all()


def test_a_code_sounds_the_same_wherever_the_answer_ends():
    # The net sees half a second on either side, so what comes later changes nothing before that.
    codec = tiny_codec(64)
    codes = np.arange(60) % 64
    whole, cut = codec.decode(codes), codec.decode(codes[:40])
    np.testing.assert_allclose(whole[: 15 * 960], cut[: 15 * 960], atol=2e-3)


def test_bad_codes_folders_and_settings_are_named(codec, utterances, tmp_path):
    with pytest.raises(VoxtwistError, match="no speech codes"):
        codec.decode(np.array([]))
    with pytest.raises(VoxtwistError, match=r"from 3 to 80.*0 to 79"):
        codec.decode(np.array([3, 80]))
    with pytest.raises(VoxtwistError, match=r"no codec of phones \(config.json is missing\)"):
        PhoneCodec.load(tmp_path)
    codec.save(tmp_path)
    (tmp_path / "codec.safetensors").write_bytes(b"torn")
    with pytest.raises(VoxtwistError, match="no codec of phones"):
        PhoneCodec.load(tmp_path)
    with pytest.raises(VoxtwistError, match=r"codec\.n_codes is 5: the voice has \d+ phones"):
        fit(utterances, 5, seed=0, effort=EFFORT)
    with pytest.raises(VoxtwistError, match=r"codec\.n_codes is 200: .* \d+ pairs of phones"):
        fit(utterances, 200, seed=0, effort=EFFORT)
    with pytest.raises(VoxtwistError, match=r"corpus\.codec_minutes: .* two seconds"):
        fit(utterances[:1], 96, seed=0, effort=EFFORT)


def test_pairs_are_the_most_frequent_and_every_phone_has_one():
    pairs = choose_pairs([np.array([0, 1, 0, 1, 0, 1, 2, 1])], phones=4, count=6)
    # (0, 1) comes three times, (1, 0) twice; (1, 2) and (2, 1) once.
    assert pairs.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1], [2, 2], [3, 3]]


def test_time_of_a_stress_mark_is_that_of_the_vowel_behind_it():
    names, lengths = phones_of(["", "h", "ˈ", "a", ",", ""], np.array([2, 1, 3, 4, 5, 6]))
    assert names == ["_", "h", "a", "_", "_"]
    assert lengths.tolist() == [2, 1, 7, 5, 6]


def test_labels_and_pitch_cover_the_waveform(utterances):
    for utterance in utterances:
        seconds = len(utterance.waveform) / SAMPLE_RATE
        assert len(utterance.phones) == round(50 * seconds)
        assert abs(len(utterance.f0) - 100 * seconds) <= 1
        # What is called a pause is quieter than what is called a phone.
        loud = np.abs(utterance.waveform[: 480 * len(utterance.phones)])
        loud = np.array([part.mean() for part in np.array_split(loud, len(utterance.phones))])
        pause = np.array(utterance.phones) == "_"
        assert loud[pause].mean() < 0.3 * loud[~pause].mean()


def test_pitch_is_interpolated_between_voiced_neighbours_only():
    f0 = np.array([0, 100, 200, 0, 0, 300.0])
    places = np.array([0, 1, 1.25, 2.4, 3, 5, 9])
    assert resample_pitch(f0, places).tolist() == pytest.approx(
        [0, 100, 125, 213.333, 0, 300, 300], abs=1e-3
    )
    assert resample_pitch(np.zeros(3), places).tolist() == [0.0] * 7


def test_world_keeps_pitch_and_length():
    times = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    # A buzz of 180 Hz: its pitch is refined from a guess that is 5 % off.
    wave = (
        sum(np.sin(2 * np.pi * 180 * n * times) / n for n in range(1, 30)).astype(np.float32) * 0.1
    )
    features = world.analyse(wave, np.full(100, 189.0))
    assert features.shape == (100, world.FEATURES)
    assert features.dtype == np.float32
    assert np.exp(features[20:80, 0]) == pytest.approx(180, rel=0.005)
    again = world.synthesise(features)
    assert again.shape == (24_000,)
    f0, _ = pyworld.harvest(again.astype(np.float64), SAMPLE_RATE)
    assert np.median(f0[f0 > 0]) == pytest.approx(180, rel=0.01)
