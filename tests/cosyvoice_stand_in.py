"""ONNX models with the inputs and outputs of CosyVoice's own, at toy size."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def write_front_end(folder: Path, token_rate: int = 50) -> None:
    """The two models that listen to a recording, under their published names."""
    onnx.save(_campplus(), folder / "campplus.onnx")
    onnx.save(_speech_tokenizer(100 // token_rate), folder / "speech_tokenizer_v1.onnx")


def _model(nodes: list, inputs: list, outputs: list, constants: dict) -> onnx.ModelProto:
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "stand_in", inputs, outputs, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _campplus() -> onnx.ModelProto:
    """(1, T, 80) -> (1, 192): the mean absolute feature, projected."""
    weight = np.random.default_rng(0).standard_normal((80, 192)).astype(np.float32)
    return _model(
        [
            helper.make_node("Abs", ["fbank"], ["loud"]),
            helper.make_node("ReduceMean", ["loud"], ["mean"], axes=[1], keepdims=0),
            helper.make_node("MatMul", ["mean", "weight"], ["embedding"]),
        ],
        [helper.make_tensor_value_info("fbank", TensorProto.FLOAT, [1, None, 80])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [1, 192])],
        {"weight": weight},
    )


def _speech_tokenizer(step: int) -> onnx.ModelProto:
    """mel (1, 128, T) and T -> (1, T / step): the loudest bin of every `step`th frame.

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
            "step": np.array([step]),
            "positions": np.zeros(3000 // step, np.float32),
        },
    )
