"""Shared fixtures: the real tokenizers, offline."""

import os
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# Threads of two processes that wait for the same cores stand in each other's way.
os.environ.setdefault("OMP_NUM_THREADS", "1" if "PYTEST_XDIST_WORKER" in os.environ else "2")

import pytest
import torch
from filelock import FileLock
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from voxtwist import params
from voxtwist.model import base
from voxtwist.model.twist import twist_checkpoint

# Tests bring their own stores and stages; what the caller's shell points at stays untouched. And
# they run as on a user's machine, where Python writes bytecode beside the code.
for name in (
    "MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_STAGE", "DVC_EXP_NAME", "PYTHONDONTWRITEBYTECODE",
):  # fmt: skip
    os.environ.pop(name, None)

CACHE = Path(__file__).parent.parent / ".cache"


@pytest.fixture(scope="session")
def smollm2_tokenizer() -> Iterator[PreTrainedTokenizerFast]:
    """SmolLM2-135M-Instruct's, with our ChatML template. Shared: copy it before changing it."""
    folder = CACHE / "smollm2-tokenizer"
    CACHE.mkdir(exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.exists():  # reading it out of the GGUF file takes ten seconds
            package = Path(find_spec(base.GGUF_PACKAGE).origin).parent
            tokenizer = AutoTokenizer.from_pretrained(package, gguf_file=base.GGUF_FILE)
            tokenizer.chat_template = base.CHATML
            tokenizer.save_pretrained(folder)
    yield from unchanged(AutoTokenizer.from_pretrained(folder))


@pytest.fixture(scope="session")
def qwen3_tokenizer() -> Iterator[PreTrainedTokenizerFast]:
    """Qwen3's, byte-identical to the official one. Shared: copy it before changing it."""
    folder = CACHE / "qwen3-tokenizer"
    if not folder.exists():
        pytest.fail(f"{folder} is missing: run `make test-setup`")
    yield from unchanged(AutoTokenizer.from_pretrained(folder))


@pytest.fixture(scope="session")
def tiny_base(smollm2_tokenizer: PreTrainedTokenizerFast, tmp_path_factory) -> Path:
    """A two-layer Llama with random weights and SmolLM2's tokenizer, as a checkpoint folder."""
    folder = tmp_path_factory.mktemp("tiny") / "base"
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(smollm2_tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        eos_token_id=smollm2_tokenizer.eos_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    smollm2_tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_twist(tiny_base: Path) -> Path:
    """`tiny_base` with 32 speech codes, format v1.1."""
    folder = tiny_base.parent / "twist"
    codec = params.Codec(
        name="phones", n_codes=32, frame_rate_hz=25, path="unused", speaker=None, prompt_audio=None
    )
    settings = params.Twist(init="mean+std", noise=1.0, pad_to_multiple_of=128)
    twist_checkpoint(tiny_base, folder, codec, "v1.1", settings, seed=0)
    return folder


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository with one committed file."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "model.py").write_text("layers = 2\n")
    for command in (
        ["init", "-q"],
        ["config", "user.email", "a@example.org"],
        ["config", "user.name", "a"],
        ["add", "."],
        ["commit", "-qm", "first"],
    ):
        subprocess.run(["git", *command], cwd=root, check=True)
    return root


def unchanged(tokenizer: PreTrainedTokenizerFast) -> Iterator[PreTrainedTokenizerFast]:
    before = len(tokenizer), tokenizer.chat_template
    yield tokenizer
    after = len(tokenizer), tokenizer.chat_template
    assert after == before, "a test has changed the shared tokenizer"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The pipeline first, then files with slow tests: two workers are busy to the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path.name != "test_pipeline.py", item.path not in slow))
