"""A complete CosyVoice folder at toy size: golden weights, and ONNX stand-ins built here."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import load_file

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
def full_dir(tmp_path_factory: pytest.TempPathFactory, campplus: onnx.ModelProto) -> Path:
    folder = tmp_path_factory.mktemp("cosyvoice")
    for name in ("cosyvoice.yaml", "flow.pt", "hift.pt"):
        shutil.copy(DATA / "tiny" / name, folder)
    generator = torch.Generator().manual_seed(0)
    speakers = {DEFAULT_SPEAKER: {"embedding": torch.randn(1, 192, generator=generator)}}
    torch.save(speakers, folder / "spk2info.pt")
    onnx.save(campplus, folder / "campplus.onnx")
    onnx.save(_speech_tokenizer(), folder / "speech_tokenizer_v1.onnx")
    return folder


@pytest.fixture(scope="session")
def cosyvoice(full_dir: Path) -> CosyVoice:
    return CosyVoice.load(full_dir)


def _model(nodes: list, inputs: list, outputs: list, constants: dict) -> onnx.ModelProto:
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "stand_in", inputs, outputs, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _speech_tokenizer() -> onnx.ModelProto:
    """mel (1, 128, T) and T -> (1, T / 2): the loudest bin of every second frame.

    Like the real model, it refuses more than 3,000 frames (30 s): its positions end there.
    """
    return _model(
        [
            helper.make_node("Cast", ["length"], ["end"], to=TensorProto.INT64),
            helper.make_node("Slice", ["mel", "start", "end", "axis", "step"], ["second"]),
            helper.make_node("Shape", ["second"], ["size"], start=2),
            helper.make_node("Slice", ["positions", "start", "size"], ["own_positions"]),
            helper.make_node("Add", ["second", "own_positions"], ["placed"]),
            helper.make_node("ArgMax", ["placed"], ["codes"], axis=1, keepdims=0),
        ],
        [
            helper.make_tensor_value_info("mel", TensorProto.FLOAT, [1, 128, None]),
            helper.make_tensor_value_info("length", TensorProto.INT32, [1]),
        ],
        [helper.make_tensor_value_info("codes", TensorProto.INT64, [1, None])],
        {
            "start": np.array([0]),
            "axis": np.array([2]),
            "step": np.array([2]),
            "positions": np.zeros(1500, np.float32),
        },
    )
