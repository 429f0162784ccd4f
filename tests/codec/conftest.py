"""A complete CosyVoice folder at toy size: golden weights, and ONNX stand-ins."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from cosyvoice_stand_in import write_front_end
from voxtwist.codec.cosyvoice import CosyVoice
from voxtwist.codec.cosyvoice.adapter import DEFAULT_SPEAKER

DATA = Path(__file__).parent / "data" / "cosyvoice"


@pytest.fixture(scope="session")
def tiny_dir() -> Path:
    """Golden weights only: no ONNX models, no speakers."""
    return DATA / "tiny"


@pytest.fixture(scope="session")
def published_dir() -> Path:
    """The settings and the tensor names of CosyVoice-300M, without weights."""
    return DATA / "300m"


@pytest.fixture(scope="session")
def golden() -> dict[str, dict[str, torch.Tensor]]:
    """case -> name -> what the official implementation was given and computed."""
    cases: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in load_file(DATA / "tiny" / "golden.safetensors").items():
        case, name = key.split(".", 1)
        cases.setdefault(case, {})[name] = tensor
    return cases


@pytest.fixture(scope="session")
def full_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cosyvoice")
    for name in ("cosyvoice.yaml", "flow.pt", "hift.pt"):
        shutil.copy(DATA / "tiny" / name, folder)
    generator = torch.Generator().manual_seed(0)
    speakers = {DEFAULT_SPEAKER: {"embedding": torch.randn(1, 192, generator=generator)}}
    torch.save(speakers, folder / "spk2info.pt")
    write_front_end(folder)
    return folder


@pytest.fixture(scope="session")
def slow_dir(full_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same at 25 tokens per second, as CosyVoice-300M-25Hz."""
    folder = shutil.copytree(full_dir, tmp_path_factory.mktemp("cosyvoice-25hz") / "model")
    text = (folder / "cosyvoice.yaml").read_text(encoding="utf-8")
    assert "input_frame_rate: 50" in text
    text = text.replace("input_frame_rate: 50", "input_frame_rate: 25")
    (folder / "cosyvoice.yaml").write_text(text, encoding="utf-8")
    write_front_end(folder, token_rate=25)
    return folder


@pytest.fixture(scope="session")
def cosyvoice(full_dir: Path) -> CosyVoice:
    return CosyVoice.load(full_dir)
