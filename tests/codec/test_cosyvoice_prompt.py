"""Recordings in: the voice of a prompt, and speech tokens for training data."""

import shutil

import numpy as np
import pytest
import soundfile
import torch

from voxtwist.codec.cosyvoice import CosyVoice, CosyVoiceCodec
from voxtwist.codec.cosyvoice.prompt import FrontEnd, whisper_mel
from voxtwist.errors import VoxtwistError


def speechlike(seconds: float, rate: int) -> np.ndarray:
    """A chord that swells and fades and climbs: no two tenths of a second are alike."""
    t = np.arange(int(seconds * rate)) / rate
    tones = sum(np.sin(2 * np.pi * f * t * (1 + 0.05 * t / seconds)) for f in (220, 700, 1900))
    return (0.1 * tones * (1.2 + np.sin(2 * np.pi * 3 * t))).astype(np.float32)


def test_prompt_is_the_front_end_of_both_models(cosyvoice, full_dir):
    wave = speechlike(2.0, 16_000)
    voice = cosyvoice.prompt(wave, 16_000)
    assert voice.speaker.shape == (1, 192)
    assert voice.mel.shape == (1, int(2.0 * 22_050 / 256), 80)
    loudest = whisper_mel(torch.from_numpy(wave)[None])[:, :, ::2].argmax(dim=1)
    assert torch.equal(voice.tokens, loudest)
    assert torch.equal(voice.speaker, FrontEnd(full_dir).speaker_embedding(wave))


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 47_999])
def test_prompt_of_another_rate_is_the_same_voice(cosyvoice, rate):
    voice = cosyvoice.prompt(speechlike(2.0, rate), rate)
    reference = cosyvoice.prompt(speechlike(2.0, 16_000), 16_000)
    same = torch.cosine_similarity(voice.speaker, reference.speaker)
    assert same.item() > 0.9
    assert voice.tokens.shape == reference.tokens.shape
    assert (voice.tokens == reference.tokens).float().mean().item() > 0.9
    assert voice.mel.shape == reference.mel.shape


@pytest.mark.parametrize(
    ("wave", "message"),
    [
        (np.zeros(16_000, np.float32), "silent"),
        (speechlike(30.1, 16_000), r"lasts 30\.10 s"),
        (speechlike(0.05, 16_000), r"lasts 0\.05 s"),
        (np.full(16_000, np.nan, np.float32), "not numbers"),
    ],
)
def test_bad_prompts_are_refused(cosyvoice, wave, message):
    with pytest.raises(VoxtwistError, match=message):
        cosyvoice.prompt(wave, 16_000)


def test_missing_or_damaged_onnx_is_named(tiny_dir, full_dir, tmp_path):
    with pytest.raises(VoxtwistError, match=r"campplus\.onnx does not exist.*--speaker"):
        CosyVoice.load(tiny_dir).prompt(speechlike(1.0, 16_000), 16_000)
    for file in full_dir.iterdir():
        shutil.copy(file, tmp_path)
    (tmp_path / "campplus.onnx").write_bytes(b"not a model")
    with pytest.raises(VoxtwistError, match=r"campplus\.onnx cannot be read"):
        CosyVoice.load(tmp_path).prompt(speechlike(1.0, 16_000), 16_000)


def test_encode_needs_only_the_tokenizer(full_dir, tmp_path):
    for name in ("cosyvoice.yaml", "speech_tokenizer_v1.onnx"):
        shutil.copy(full_dir / name, tmp_path)
    codes = CosyVoiceCodec(tmp_path).encode(speechlike(1.0, 16_000), 16_000)
    assert codes.dtype == np.int64
    assert codes.shape == (50,)
    assert len(np.unique(codes)) > 1


def test_encode_cuts_long_recordings(full_dir):
    """65 s are three parts; all but the frames at their edges are those of the whole."""
    codec = CosyVoiceCodec(full_dir)
    wave = speechlike(65.0, 16_000)
    codes = codec.encode(wave, 16_000)
    assert codes.shape == (3_250,)
    whole = whisper_mel(torch.from_numpy(wave)[None])[0, :, ::2].argmax(dim=0).numpy()
    assert (codes == whole).mean() > 0.99
    with pytest.raises(VoxtwistError, match="shorter than one speech token"):
        codec.encode(wave[:100], 16_000)


def test_codec_speaks_with_a_recorded_voice(full_dir, cosyvoice, tmp_path):
    path = tmp_path / "voice.flac"
    wave = speechlike(1.5, 48_000)
    soundfile.write(path, np.stack([wave, wave], axis=1), 48_000)
    mono, rate = soundfile.read(path, dtype="float32")
    voice = cosyvoice.prompt(mono.mean(axis=1), rate)
    codec = CosyVoiceCodec(full_dir, prompt_audio=path)
    tokens = np.arange(30)
    np.testing.assert_array_equal(codec.decode(tokens), cosyvoice.decode(tokens, voice)[0])
