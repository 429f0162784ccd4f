"""Judges other than the recogniser: whose voice it is, and UTMOS from a clone."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from cosyvoice_stand_in import write_front_end
from voxtwist.errors import VoxtwistError
from voxtwist.evaluation.speech.judges import Judges
from voxtwist.evaluation.speech.utmos import Utmos
from voxtwist.evaluation.speech.voice import VoiceEmbedder
from voxtwist.params import EvaluateSpeech

RATE = 24_000

# Looks like tarepan/SpeechMOS from outside; its score is the wave's loudness.
HUBCONF = """
import torch

class Scorer(torch.nn.Module):
    def forward(self, wave, rate):
        assert wave.shape[0] == 1 and rate == 24000
        return wave.abs().mean(dim=1)

def utmos22_strong(progress=True):
    return Scorer()
"""


def tone(hertz: float, level: float = 0.3, seconds: float = 0.5) -> np.ndarray:
    time = np.arange(int(seconds * RATE)) / RATE
    return (level * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


@pytest.fixture
def voices(tmp_path: Path) -> Path:
    folder = tmp_path / "cosyvoice"
    folder.mkdir()
    write_front_end(folder)
    return folder


def settings(**changes: object) -> EvaluateSpeech:
    file = Path(__file__).parents[3] / "params.yaml"
    values = yaml.safe_load(file.read_text())["evaluate_speech"]
    return EvaluateSpeech(**(values | {"mos": "none"} | changes))


def test_a_voice_is_nearer_to_itself(voices: Path) -> None:
    same, again, other, blip = VoiceEmbedder(voices).embed(
        [tone(200), tone(200, level=0.1), tone(3000), tone(200, seconds=0.05)], RATE
    )
    assert blip is None
    assert np.linalg.norm(same) == pytest.approx(1)
    assert same @ again > same @ other


def test_all_judges_listen_and_silence_has_no_opinion(voices: Path, tmp_path: Path) -> None:
    clone = tmp_path / "SpeechMOS"
    clone.mkdir()
    (clone / "hubconf.py").write_text(HUBCONF)
    soundfile.write(tmp_path / "prompt.wav", tone(200), RATE, subtype="FLOAT")
    judges = Judges.load(
        settings(utmos=str(clone), voice=str(voices)), str(tmp_path / "prompt.wav")
    )
    loud, silent, quiet = judges.listen([tone(200), np.zeros(0, np.float32), tone(200, 0.1)], RATE)
    assert silent.utmos is silent.voice is silent.mos is None
    assert silent.transcript == ""
    assert loud.utmos == pytest.approx(3 * quiet.utmos, rel=1e-3)
    assert loud.voice @ judges.prompt_voice > 0.99


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(VoxtwistError, match=r"hubconf\.py is missing: clone tarepan/SpeechMOS"):
        Utmos(tmp_path)
    (tmp_path / "hubconf.py").write_text(
        "def utmos22_strong():\n    raise OSError('no route to host')\n"
    )
    with pytest.raises(VoxtwistError, match=r"weights of utmos22_strong .* \(no route to host\)"):
        Utmos(tmp_path)
    with pytest.raises(VoxtwistError, match=r"campplus\.onnx is missing: name the folder"):
        VoiceEmbedder(tmp_path)
