"""A version becomes a package that loads anywhere: weights, codec, code and pinned requirements."""

import json
import logging
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow.pyfunc
from mlflow.entities.model_registry import ModelVersion
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types.schema import Array

import voxtwist
from voxtwist.errors import VoxtwistError
from voxtwist.evaluation.speech.evaluate import SPEECH_SETTINGS
from voxtwist.params import Codec, Generate
from voxtwist.tracking.objects import restore
from voxtwist.tracking.registry import LINEAGE, PACKAGED_FROM, number, package_of
from voxtwist.tracking.store import Store, fetch

logging.getLogger("mlflow.pyfunc").setLevel(logging.WARNING)

CODE = Path(voxtwist.__file__).parent
MODEL = CODE / "promotion" / "spoken_answers.py"
VERIFY = CODE / "promotion" / "verify.py"
# What generating and decoding import; the rest of the package's imports stay untouched.
REQUIREMENTS = (
    "mlflow", "torch", "torchaudio", "transformers", "tokenizers", "safetensors", "accelerate",
    "numpy", "pandas", "scipy", "scikit-learn", "soundfile", "onnxruntime", "orjson", "pydantic",
    "pyyaml", "requests", "rich", "tqdm",
)  # fmt: skip
QUESTION = "How much is seven plus eight?"
EXAMPLE = [{"question": QUESTION, "seed": 0}]
SIGNATURE = ModelSignature(
    inputs=Schema(
        [
            ColSpec(DataType.string, "question"),
            ColSpec(DataType.long, "seed", required=False),
        ]
    ),
    outputs=Schema(
        [
            ColSpec(DataType.string, "text"),
            ColSpec(Array(DataType.long), "speech_tokens"),
            ColSpec(DataType.binary, "wav"),
            ColSpec(DataType.long, "sample_rate"),
        ]
    ),
)


def package(store: Store, root: Path, version: ModelVersion) -> ModelVersion:
    """The version with weights that belongs to `version`; made, checked and registered once.

    A registered version cannot change its source, and that of the stage `register` has no weights:
    so the package is a version of its own, of the same run, with the same lineage tags and
    `voxtwist.packaged_from`, the number of the one that it was made from.

    Args:
        root: the project whose work tree, DVC cache or remote holds checkpoint and codec.

    Raises:
        VoxtwistError: bytes cannot be found by their hash, or the package does not load or speak.
    """
    made = package_of(store, version)
    if made is not None:
        verify(store, made)
        return made
    with TemporaryDirectory(dir=_scratch(root), prefix="package-") as name:
        folder = Path(name)
        save_package(store, root, version, folder)
        model_id = _upload(store, version, folder / "package")
    made = _register(store, version, model_id)
    try:
        verify(store, made)
    except VoxtwistError:
        store.client.delete_model_version(made.name, made.version)
        store.client.delete_logged_model(model_id)
        raise
    return made


def save_package(store: Store, root: Path, version: ModelVersion, folder: Path) -> None:
    """Write the package into `folder`/package."""
    tags, run_id = version.tags, str(version.run_id)
    codec, generation = _settings(store, run_id, folder / "settings")
    artifacts = {
        "checkpoint": restore(
            root, tags["md5.checkpoint"], Path("checkpoints/sft"), folder / "checkpoint"
        ),
        "codec": restore(root, tags["md5.codec"], Path(codec.path), folder / "codec"),
    }
    if codec.prompt_audio:
        artifacts["prompt_audio"] = root / codec.prompt_audio
    mlflow.pyfunc.save_model(
        folder / "package",
        python_model=str(MODEL),
        code_paths=[str(CODE)],
        artifacts={name: str(path.resolve()) for name, path in artifacts.items()},
        model_config={"codec": codec.model_dump(), "generate": generation.model_dump()},
        signature=SIGNATURE,
        input_example=EXAMPLE,
        pip_requirements=[f"{name}=={metadata.version(name)}" for name in REQUIREMENTS],
        metadata={name: tags[name] for name in tags if name.startswith(LINEAGE)},
    )


def verify(store: Store, version: ModelVersion) -> dict[str, Any]:
    """Load a version in a fresh process and let it answer; what `verify.py` prints.

    Raises:
        VoxtwistError: it does not load, or does not speak.
    """
    uri = f"models:/{version.name}/{version.version}"
    # -P and no PYTHONPATH: the package's own copy of the code is what must work.
    done = subprocess.run(
        [sys.executable, "-P", str(VERIFY), uri, QUESTION],
        # The store's address may have a password, which arguments would show to every user.
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        | {"MLFLOW_TRACKING_URI": store.uri},
        capture_output=True,
        encoding="utf-8",
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise VoxtwistError(f"{uri} was packaged but does not answer, nothing was moved: {reason}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _settings(store: Store, run_id: str, folder: Path) -> tuple[Codec, Generate]:
    """Those that the model's speech was measured with."""
    folder.mkdir()
    file = fetch(store, run_id, f"speech/{SPEECH_SETTINGS}", folder)
    if file is None:
        raise VoxtwistError(
            f"run {run_id} has no speech/{SPEECH_SETTINGS}: run the stage evaluate_speech for it"
        )
    values = json.loads(file.read_bytes())
    # Versions registered before the rate was a setting do not say it: every codec had 50 Hz.
    return Codec(**{"frame_rate_hz": 50} | values["codec"]), Generate(**values["generate"])


def _upload(store: Store, version: ModelVersion, folder: Path) -> str:
    """Store the package as a logged model of the version's run; its id."""
    client = store.client
    experiment = client.get_run(str(version.run_id)).info.experiment_id
    logged = client.create_logged_model(experiment, name="package", source_run_id=version.run_id)
    model_id = str(logged.model_id)
    client.log_model_artifacts(model_id, str(folder))
    client.finalize_logged_model(model_id, "READY")
    return model_id


def _register(store: Store, version: ModelVersion, model_id: str) -> ModelVersion:
    return store.client.create_model_version(
        version.name,
        source=f"models:/{model_id}",
        run_id=version.run_id,
        tags={**version.tags, PACKAGED_FROM: number(version)},
        description=version.description,
        model_id=model_id,
    )


def _scratch(root: Path) -> Path:
    """Packages are large, and /tmp may be memory."""
    folder = root / ".scratch"
    folder.mkdir(exist_ok=True)
    return folder
