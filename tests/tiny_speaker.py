"""A tiny model with a codec of phones with as many codes, and settings for both."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from tests.tiny_codec import tiny_codec
from transformers import AutoTokenizer

from voxtwist.codec.phones import PhoneCodec
from voxtwist.inference.speaker import Speaker
from voxtwist.model.base import load_model
from voxtwist.params import Generate, Params

PARAMS = Path(__file__).parents[1] / "params.yaml"


def generate_settings(**changes: object) -> Generate:
    values = {
        "temperature": 0.0, "top_p": 1.0, "top_k": 0, "repetition_penalty": 1.0,
        "max_text_tokens": 6, "max_speech_seconds": 0.2, "batch_size": 4, "constrained": True,
    }  # fmt: skip
    return Generate(**values | changes)


@pytest.fixture(scope="session")
def generation() -> Callable[..., Generate]:
    """Makes settings of `generate` for short answers."""
    return generate_settings


@pytest.fixture(scope="session")
def codec_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("codec")
    tiny_codec(32).save(folder)
    return folder


@pytest.fixture(scope="session")
def speaker(tiny_twist, codec_folder) -> Speaker:
    tokenizer = AutoTokenizer.from_pretrained(tiny_twist)
    return Speaker(load_model(tiny_twist), tokenizer, PhoneCodec.load(codec_folder))


@pytest.fixture
def settings(codec_folder) -> Params:
    """params.yaml for the tiny model and its codec."""
    values = yaml.safe_load(PARAMS.read_text())
    values["codec"] |= {"path": str(codec_folder), "n_codes": 32}
    values["generate"] = generate_settings().model_dump()
    return Params(**values)


@pytest.fixture
def project(settings, tiny_twist, tmp_path) -> Path:
    """A folder in which the commands find params.yaml and checkpoints/sft."""
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(settings.model_dump()))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/sft").symlink_to(tiny_twist)
    return tmp_path
