"""A base model is loaded whole or not at all: what is missing, too much or broken is named."""

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from transformers import PreTrainedConfig, PreTrainedModel

from voxtwist.errors import VoxtwistError

_SHOWN = 3  # names in a message
_LFS = b"version https://git-lfs.github.com/spec/"
_ADVICE = "fetch the model again, or name another base.model"


def refuse_quantised(source: str | Path, config: PreTrainedConfig) -> None:
    """Raises: VoxtwistError: GPTQ, AWQ, bitsandbytes or alike, which cannot be trained as it is."""
    settings: Any = getattr(config, "quantization_config", None)
    if settings is None:
        return
    settings = settings if isinstance(settings, dict) else settings.to_dict()
    raise VoxtwistError(
        f"base.model {source} is quantised ({settings.get('quant_method', 'unknown method')}): "
        "training needs the full weights; name the model that it was made from"
    )


def refuse_incomplete(source: str | Path, info: Mapping[str, Collection[Any]]) -> None:
    """Args: info: what `from_pretrained(output_loading_info=True)` gives.

    Raises:
        VoxtwistError: the architecture has weights that the files lack, they have others besides,
            or some have another shape.
    """
    shapes = (
        f"{name} {tuple(found)} instead of {tuple(expected)}"
        for name, found, expected in sorted(info["mismatched_keys"])
    )
    problems = [
        f"{_count(names)} {verb}: {_first(names)}"
        for verb, names in (
            ("missing", sorted(info["missing_keys"])),
            ("not of its architecture", sorted(info["unexpected_keys"])),
            ("of another shape", list(shapes)),
        )
        if names
    ]
    if problems:
        raise VoxtwistError(
            f"the weights of {source} do not fit its config.json ({'; '.join(problems)}): {_ADVICE}"
        )


def refuse_not_finite(source: str | Path, model: PreTrainedModel) -> None:
    """Raises: VoxtwistError: a weight is NaN or infinite."""
    _refuse_not_finite(source, (n for n, w in model.state_dict().items() if not _finite(w)))


def refuse_not_finite_files(folder: Path) -> None:
    """As `refuse_not_finite`, one tensor after the other from the safetensors of a folder."""

    def broken() -> Iterator[str]:
        for path in sorted(folder.glob("*.safetensors")):
            with safe_open(path, "pt") as file:
                names = file.keys()
                yield from (name for name in names if not _finite(file.get_tensor(name)))

    _refuse_not_finite(folder, broken())


def explain(source: str | Path, error: Exception) -> str:
    """Why a model or tokenizer cannot be loaded, in one line."""
    broken = next(_broken_files(Path(source)), None) if Path(source).is_dir() else None
    if broken:
        return f"{broken}: {_ADVICE}"
    if "trust_remote_code" in str(error) or "custom code" in str(error):
        return (
            f"base.model {source} needs code of its own, which Voxtwist never runs: name a model "
            "whose family transformers knows"
        )
    reason = next(iter(str(error).splitlines()), "") or type(error).__name__
    return f"base.model {source} cannot be loaded ({reason}): give a model folder or a hub name"


def _broken_files(folder: Path) -> Iterator[str]:
    """What is wrong with the files of a model folder, each in a few words."""
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        with path.open("rb") as file:
            start = file.read(len(_LFS))
        if start == _LFS:
            yield f"{path} is a Git-LFS pointer, not the file itself (`git lfs pull` gets it)"
        elif path.suffix == ".safetensors":
            try:
                with safe_open(path, "pt"):
                    pass
            except (SafetensorError, OSError) as error:
                yield f"{path} is no complete safetensors file ({error})"
        elif path.suffix == ".json":
            try:
                content = json.loads(path.read_bytes())
            except ValueError as error:
                yield f"{path} is not JSON ({error})"
                continue
            if path.name.endswith(".index.json") and isinstance(content, dict):
                shards = set(content.get("weight_map", {}).values())
                absent = sorted(name for name in shards if not (folder / name).is_file())
                if absent:
                    yield f"{folder} lacks {_first(absent)}, of which {path.name} tells"
        elif path.suffix in (".bin", ".pt"):
            try:
                torch.load(path, map_location="meta", weights_only=True)
            except Exception as error:  # torch names a damaged or unsafe file by many types
                yield f"{path} cannot be read as plain tensors ({str(error).splitlines()[0]})"


def _refuse_not_finite(source: str | Path, names: Iterator[str]) -> None:
    found = list(names)
    if found:
        raise VoxtwistError(
            f"{source} has weights that are NaN or infinite ({_first(found)}): {_ADVICE}"
        )


def _finite(weight: torch.Tensor) -> bool:
    # The sum is finite where all are, save for an overflow: only then is each looked at.
    return not weight.is_floating_point() or bool(
        weight.sum(dtype=torch.float32).isfinite() or weight.isfinite().all()
    )


def _count(names: Collection[str]) -> str:
    return f"{len(names)} {'is' if len(names) == 1 else 'are'}"


def _first(names: Collection[str]) -> str:
    shown = ", ".join(list(names)[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown}, …"
