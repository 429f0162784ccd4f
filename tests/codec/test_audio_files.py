import numpy as np
import pytest
import soundfile

from voxtwist.codec.audio import read_audio, resample, write_audio
from voxtwist.errors import VoxtwistError


def tone(rate: int, hz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(rate) / rate)).astype(np.float32)


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_written_audio_reads_back(tmp_path, suffix):
    path = tmp_path / f"tone{suffix}"
    write_audio(path, tone(22_050), 22_050)
    wave, rate = read_audio(path)
    assert rate == 22_050
    assert wave.dtype == np.float32
    np.testing.assert_allclose(wave, tone(22_050), atol=1 / 32_000)


def test_channels_are_averaged(tmp_path):
    left, right = tone(8_000), tone(8_000, 300.0)
    soundfile.write(tmp_path / "stereo.wav", np.stack([left, right], 1), 8_000, subtype="FLOAT")
    wave, _ = read_audio(tmp_path / "stereo.wav")
    np.testing.assert_allclose(wave, (left + right) / 2, atol=1e-6)


@pytest.mark.parametrize(("rate", "tolerance"), [(8_000, 0.005), (44_100, 0.005), (47_999, 0.03)])
def test_resampling_keeps_the_signal(rate, tolerance):
    """47,999 Hz has no small ratio to 16 kHz: it must neither fail nor take gigabytes."""
    wave = resample(tone(rate), rate, 16_000)
    assert abs(len(wave) - 16_000) <= 1
    np.testing.assert_allclose(wave[500:15_000], tone(16_000)[500:15_000], atol=tolerance)


def test_unusable_files_are_named(tmp_path):
    (tmp_path / "text.wav").write_text("not audio")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16_000)
    for name, message in [
        ("text.wav", "cannot be read as audio"),
        ("empty.wav", "holds no samples"),
        ("none.wav", "does not exist"),
    ]:
        with pytest.raises(VoxtwistError, match=f"{name}.* {message}"):
            read_audio(tmp_path / name)
    with pytest.raises(VoxtwistError, match=r"written as \.wav or \.flac"):
        write_audio(tmp_path / "tone.mp3", tone(8_000), 8_000)
    with pytest.raises(VoxtwistError, match=r"folder .*gone does not exist"):
        write_audio(tmp_path / "gone" / "tone.wav", tone(8_000), 8_000)
