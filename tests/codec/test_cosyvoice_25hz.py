"""A CosyVoice folder whose yaml says 25 tokens per second: its lengths, its tokens, its rate.

The weights are the toy ones of 50 Hz: what is tested is time, not sound.
"""

import json
import re
import shutil

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

from voxtwist import params
from voxtwist.cli.main import app
from voxtwist.codec.cosyvoice import CosyVoice, CosyVoiceCodec
from voxtwist.codec.cosyvoice.adapter import DEFAULT_SPEAKER
from voxtwist.codec.cosyvoice.flow import interpolate
from voxtwist.codec.files import write_speech_tokens
from voxtwist.codec.loading import load_codec
from voxtwist.errors import VoxtwistError

SECOND = 22_050


@pytest.fixture(scope="module")
def slow(slow_dir) -> CosyVoice:
    return CosyVoice.load(slow_dir)


def chirp(seconds: float) -> np.ndarray:
    t = np.arange(int(seconds * 16_000)) / 16_000
    return (0.3 * np.sin(2 * np.pi * 300 * t * (1 + t / seconds))).astype(np.float32)


@pytest.mark.parametrize("tokens", [1, 40, 41, 100])
def test_tokens_last_a_25th_of_a_second(slow, cosyvoice, tokens):
    codes = np.arange(tokens)
    (wave,) = slow.decode(codes, DEFAULT_SPEAKER)
    assert len(wave) == int(tokens / 25 * SECOND / 256) * 256
    assert len(wave) / SECOND == pytest.approx(tokens / 25, abs=256 / SECOND)
    (fast,) = cosyvoice.decode(codes, DEFAULT_SPEAKER)
    assert len(fast) / SECOND == pytest.approx(tokens / 50, abs=256 / SECOND)


def test_both_ends_are_stretched_to_the_frames_of_20_tokens(slow):
    """20 tokens are 0.8 s: 68 frames at each end, and what remains in the middle."""
    x = torch.randn(80, 100)
    stretched = slow.flow._stretch(x, 0, 0, slow.flow.frames(100))
    parts = [(x[:, :20], 68), (x[:, 20:-20], 344 - 2 * 68), (x[:, -20:], 68)]
    expected = torch.cat([interpolate(part[None], n)[0] for part, n in parts], dim=1)
    torch.testing.assert_close(stretched, expected)


def test_a_prompt_has_its_own_frames_and_half_as_many_tokens(slow, cosyvoice):
    voice, fast = slow.prompt(chirp(2.0), 16_000), cosyvoice.prompt(chirp(2.0), 16_000)
    assert (voice.tokens.shape[1], fast.tokens.shape[1]) == (50, 100)
    assert voice.mel.shape == fast.mel.shape == (1, int(2.0 * SECOND / 256), 80)
    wave = slow.decode(np.arange(60), voice)
    assert wave.shape[1] == int(60 / 25 * SECOND / 256) * 256


def test_recordings_get_25_codes_a_second_also_beyond_30_s(slow_dir):
    codec = CosyVoiceCodec(slow_dir)
    assert codec.frame_rate_hz == 25
    assert len(codec.encode(chirp(4.0), 16_000)) == 100
    assert len(codec.encode(chirp(65.0), 16_000)) == 1625
    with pytest.raises(VoxtwistError, match=r"shorter than one speech token \(0\.04 s\)"):
        codec.encode(chirp(0.03), 16_000)


def test_a_tokenizer_of_another_rate_is_refused(slow_dir, full_dir, tmp_path):
    folder = shutil.copytree(slow_dir, tmp_path / "mixed")
    shutil.copy(full_dir / "speech_tokenizer_v1.onnx", folder)
    reason = r"speech_tokenizer_v1\.onnx makes 100 tokens of 2\.00 s, but .* is 25 per second"
    with pytest.raises(VoxtwistError, match=reason):
        CosyVoiceCodec(folder).encode(chirp(2.0), 16_000)
    with pytest.raises(VoxtwistError, match=reason):
        CosyVoice.load(folder).prompt(chirp(2.0), 16_000)


def test_settings_of_another_rate_are_refused_by_name(slow_dir):
    def settings(rate: int) -> params.Codec:
        return params.Codec(
            name="cosyvoice", n_codes=4096, frame_rate_hz=rate, path=str(slow_dir),
            speaker=None, prompt_audio=None,
        )  # fmt: skip

    assert load_codec(settings(25)).frame_rate_hz == 25
    reason = f"codec.frame_rate_hz is 50, but {slow_dir} has 25 codes per second"
    with pytest.raises(VoxtwistError, match=re.escape(reason)):
        load_codec(settings(50))


def test_speak_refuses_a_file_of_another_rate(slow_dir, full_dir, tmp_path):
    file, output = tmp_path / "answer.json", tmp_path / "answer.wav"

    def speak(folder, *options):
        return CliRunner().invoke(
            app,
            ["speak", "--tokens", str(file), "--model-dir", str(folder), "--output", str(output),
             "--speaker", DEFAULT_SPEAKER, *options],
        )  # fmt: skip

    write_speech_tokens(file, [np.arange(100)], CosyVoiceCodec(full_dir))
    refused = speak(slow_dir)
    reason = f"{file} says 50 codes per second, but {slow_dir} has 25 codes per second: "
    assert refused.exit_code == 1 and str(refused.exception).startswith(reason)
    assert not output.exists()
    file.write_text(json.dumps({"vocab_size": 6561, "speech_tokens": [1]}), encoding="utf-8")
    assert "says a vocabulary of 6561 codes" in str(speak(slow_dir).exception)

    write_speech_tokens(file, [np.arange(100)], CosyVoiceCodec(slow_dir))
    spoken = speak(slow_dir)
    assert spoken.exit_code == 0, spoken.output
    assert soundfile.info(output).duration == pytest.approx(4.0, abs=256 / SECOND)
