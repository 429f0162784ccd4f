import json
import re

import numpy as np
import pytest
import soundfile
import typer
from tests.tiny_codec import tiny_codec
from typer.testing import CliRunner

from voxtwist.cli.speak import register
from voxtwist.codec.cosyvoice import CosyVoice
from voxtwist.codec.cosyvoice.adapter import DEFAULT_SPEAKER
from voxtwist.codec.files import write_speech_tokens
from voxtwist.errors import VoxtwistError


@pytest.fixture
def speak(full_dir, tmp_path, monkeypatch):
    """Run `voxtwist speak` in tmp_path; its printed text, or its VoxtwistError."""
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    monkeypatch.chdir(tmp_path)

    def run(*options: str) -> str:
        arguments = ["speak", "--model-dir", str(full_dir), *options]
        result = CliRunner().invoke(app, arguments)
        if isinstance(result.exception, VoxtwistError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout

    return run


@pytest.fixture
def voice_file(tmp_path):
    t = np.arange(48_000) / 48_000
    wave = 0.3 * np.sin(2 * np.pi * 220 * t) * (1 + np.sin(2 * np.pi * 4 * t))
    soundfile.write(tmp_path / "voice.wav", np.stack([wave, wave], 1), 48_000)
    return tmp_path / "voice.wav"


def test_built_in_speaker(speak, tmp_path, cosyvoice: CosyVoice):
    (tmp_path / "t.json").write_text(json.dumps(list(range(100))))
    printed = speak("--speech-tokens", "t.json", "--speaker", DEFAULT_SPEAKER, "--output", "o.wav")
    wave, rate = soundfile.read("o.wav", dtype="float32")
    assert rate == 22_050
    expected = cosyvoice.decode(range(100), DEFAULT_SPEAKER)[0]
    np.testing.assert_allclose(wave, expected, atol=1 / 32_000)
    assert re.search(r"100 tokens .*0 tokens and 0 frames .*2\.00 s of audio .*factor", printed)


def test_prompt_audio_speed_seed_and_rate(speak, tmp_path, voice_file):
    (tmp_path / "t.json").write_text('{"codec": "cosyvoice", "speech_tokens": [1, 2, 3, 4, 5, 6]}')
    options = ["--tokens", "t.json", "--prompt-audio", str(voice_file), "--output"]
    printed = speak(*options, "a.flac", "--resample", "24000")
    assert "prompt of 50 tokens and 86 frames" in printed
    assert soundfile.info("a.flac").samplerate == 24_000
    frames = int(6 / 50 * 22_050 / 256)
    assert soundfile.info("a.flac").frames == -(-frames * 256 * 24_000 // 22_050)
    speak(*options, "b.wav", "--speed", "2")
    assert soundfile.info("b.wav").frames == frames // 2 * 256
    speak(*options, "c.wav", "--speed", "2", "--seed", "1")
    assert not np.allclose(soundfile.read("b.wav")[0], soundfile.read("c.wav")[0], atol=1e-3)


def test_many_utterances(speak, tmp_path, cosyvoice: CosyVoice):
    utterances = [[7] * 3, [8] * 60, [9] * 20]
    lines = [json.dumps(u) for u in utterances]
    lines[1] = json.dumps({"speech_tokens": utterances[1]})
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    printed = speak("--tokens", "t.jsonl", "--speaker", DEFAULT_SPEAKER, "--output", "o.wav")
    assert "3 files" in printed
    assert "83 tokens" in printed
    for i, tokens in enumerate(utterances, start=1):
        wave, _ = soundfile.read(f"o-0000{i}.wav", dtype="float32")
        expected = cosyvoice.decode(tokens, DEFAULT_SPEAKER)[0]
        np.testing.assert_allclose(wave, expected, atol=2e-4)


@pytest.mark.parametrize(
    ("tokens", "options", "message"),
    [
        ("[]", [], r"t\.json: no speech tokens"),
        ("[4096]", [], r"t\.json: speech token 4096 at position 0 is outside 0–4095"),
        ("[1]", ["--speed", "0"], "above 0"),
        ("[1]", ["--speed", "3"], "leaves nothing"),
        ("[1]", ["--prompt-audio", "x.wav"], "give one voice"),
        ("[1]", ["--output", "o.mp3"], r"\.wav or \.flac"),
        ("[1]", ["--resample", "0"], "rate in Hz"),
        ("[1]", ["--device", "abacus"], "abacus"),
        ('{"codec": "phones", "speech_tokens": [1]}', ["--codec", "cosyvoice"], "phones tokens"),
        ('{"codec": "morse", "speech_tokens": [1]}', [], "unknown codec 'morse'"),
        ("[1]", ["--codec", "phones"], "one voice and one speed"),
    ],
)
def test_mistakes_are_named(speak, tmp_path, tokens, options, message):
    (tmp_path / "t.json").write_text(tokens)
    with pytest.raises(VoxtwistError, match=message):
        speak("--tokens", "t.json", "--speaker", DEFAULT_SPEAKER, "--output", "o.wav", *options)
    assert not (tmp_path / "o.wav").exists()


def test_bad_prompt_names_its_file(speak, tmp_path):
    (tmp_path / "t.json").write_text("[1]")
    soundfile.write(tmp_path / "quiet.wav", np.zeros(16_000), 16_000)
    with pytest.raises(VoxtwistError, match=r"--prompt-audio quiet\.wav: .*silent"):
        speak("--tokens", "t.json", "--prompt-audio", "quiet.wav", "--output", "o.wav")


def test_phones_tokens_need_no_voice(speak, tmp_path):
    codec = tiny_codec(64)
    codec.save(tmp_path / "phones")
    write_speech_tokens(tmp_path / "t.json", [np.arange(50)], codec)
    printed = speak("--tokens", "t.json", "--model-dir", "phones", "--output", "o.wav")
    assert "50 tokens · embedded voice · 2.00 s of audio" in printed
    wave, rate = soundfile.read("o.wav", dtype="float32")
    assert rate == codec.sample_rate
    np.testing.assert_allclose(wave, codec.decode(np.arange(50)), atol=1 / 32_000)
    with pytest.raises(VoxtwistError, match="phones tokens, not cosyvoice"):
        speak("--tokens", "t.json", "--codec", "cosyvoice", "--output", "p.wav")
