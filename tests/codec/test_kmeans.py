"""The embedded codec on the embedded voice."""

import numpy as np
import pytest

from voxtwist.codec import kmeans
from voxtwist.codec.base import SpeechCodec
from voxtwist.codec.kmeans import KMeansCodec
from voxtwist.corpus.voice import SAMPLE_RATE, speak
from voxtwist.errors import VoxtwistError

SENTENCES = ["Three plus four is seven.", "It is half past nine.", "Where are you going today?"]


@pytest.fixture(scope="module")
def waves():
    return list(speak(SENTENCES))


@pytest.fixture(scope="module")
def codec(waves):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kmeans, "_STEPS", 300)
        return KMeansCodec.fit(waves, 96, seed=0)


def test_it_is_a_speech_codec_with_fifty_codes_a_second(codec, waves):
    assert isinstance(codec, SpeechCodec)
    codes = codec.encode(waves[0], SAMPLE_RATE)
    assert codes.dtype == np.int64
    assert len(codes) == len(waves[0]) // 480
    assert 0 <= codes.min() <= codes.max() < codec.vocab_size == 96
    assert len(codec.decode(codes)) == len(codes) * 480


@pytest.mark.parametrize("length", [1, 2, 3])
def test_the_shortest_answers_are_decoded_too(codec, waves, length):
    wave = codec.decode(codec.encode(waves[0], SAMPLE_RATE)[20 : 20 + length])
    assert wave.shape == (length * 480,)
    assert np.isfinite(wave).all()


def test_decoded_speech_has_the_loudness_contour_of_the_original(codec, waves):
    wave = waves[1]
    decoded = codec.decode(codec.encode(wave, SAMPLE_RATE))

    def contour(x):
        n = len(wave) // 480
        return np.log(np.abs(x[: n * 480]).reshape(n, 480).mean(1) + 1e-3)

    assert np.corrcoef(contour(wave), contour(decoded))[0, 1] > 0.8


def test_decoding_repeats_bit_for_bit_and_survives_saving(codec, waves, tmp_path):
    codes = codec.encode(waves[2], SAMPLE_RATE)
    codec.save(tmp_path)
    again = KMeansCodec.load(tmp_path)
    assert np.array_equal(again.encode(waves[2], SAMPLE_RATE), codes)
    assert np.array_equal(again.decode(codes), codec.decode(codes))


def test_any_rate_is_read(codec, waves):
    import torch
    import torchaudio

    wave = torch.from_numpy(waves[0])
    at_16k = torchaudio.functional.resample(wave, SAMPLE_RATE, 16_000).numpy()
    assert abs(len(codec.encode(at_16k, 16_000)) - len(codec.encode(waves[0], SAMPLE_RATE))) <= 1


def test_bad_codes_and_folders_are_named(codec, tmp_path):
    with pytest.raises(VoxtwistError, match="no speech codes"):
        codec.decode(np.array([]))
    with pytest.raises(VoxtwistError, match=r"from 3 to 96.*0 to 95"):
        codec.decode(np.array([3, 96]))
    with pytest.raises(VoxtwistError, match="holds no k-means codec"):
        KMeansCodec.load(tmp_path)
    with pytest.raises(VoxtwistError, match="too few for 9999 codes"):
        KMeansCodec.fit([np.zeros(48_000, np.float32)], 9999, seed=0)
