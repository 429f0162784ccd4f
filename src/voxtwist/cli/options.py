"""Options that several commands share, and what they are turned into."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from voxtwist import params
from voxtwist.errors import VoxtwistError

if TYPE_CHECKING:
    from voxtwist.inference.speaker import Speaker
    from voxtwist.tracking.store import Store

PARAMS = Path("params.yaml")
CHECKPOINT = "checkpoints/sft"
CHECKPOINT_HELP = "Folder, or a registered version: models:/NAME@ALIAS, models:/NAME/NUMBER"
SERVER_HELP = "http://localhost:8000/v1 of vLLM or a similar server that serves the checkpoint"

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts")]
ParamsFile = Annotated[
    Path, typer.Option("--params", help="Settings: codec, generation, seed and so on")
]
ServerUrl = Annotated[
    str | None, typer.Option(help=f"{SERVER_HELP}; its answers are not constrained to their form")
]
SpeakerName = Annotated[str | None, typer.Option(help="Built-in voice of CosyVoice")]
PromptAudio = Annotated[Path | None, typer.Option(help="Recording of the voice to speak with")]
Temperature = Annotated[float | None, typer.Option(min=0, help="0: greedy")]
Seed = Annotated[int | None, typer.Option(min=0, help="Of the draws; default: params.yaml's")]


def read_settings(
    file: Path,
    speaker: str | None = None,
    prompt_audio: Path | None = None,
    temperature: float | None = None,
    seed: int | None = None,
    server: str | None = None,
) -> params.Params:
    """params.yaml, with what the command line says in its place."""
    settings = params.load(file)
    if speaker and prompt_audio:
        raise VoxtwistError("give one voice: --speaker NAME or --prompt-audio FILE")
    changes: dict[str, object] = {}
    if speaker or prompt_audio:
        voice = {"speaker": speaker, "prompt_audio": prompt_audio and str(prompt_audio)}
        changes["codec"] = settings.codec.model_copy(update=voice)
    generation: dict[str, object] = {}
    if temperature is not None:
        generation["temperature"] = temperature
    if server:
        generation |= {"server": server, "constrained": False}
    changes["generate"] = settings.generate.model_copy(update=generation)
    if seed is not None:
        changes["seed"] = seed
    changed = settings.model_copy(update=changes)
    return params.check(changed.model_dump(), file)


def load_speaker(checkpoint: str, settings: params.Params) -> "Speaker":
    """The model and its codec; a line on the terminal says so while they load."""
    from rich.console import Console

    console = Console(stderr=True)
    with console.status(f"Loading {checkpoint}"):
        from transformers.utils.logging import disable_progress_bar

        from voxtwist.inference.checkpoint import find_checkpoint
        from voxtwist.inference.speaker import Speaker

        disable_progress_bar()
        folder = find_checkpoint(checkpoint, Path(), settings.tracking.experiment)
        return Speaker.load(folder, settings.codec, settings.generate.server)


def project_store(settings: params.Params | None = None) -> "Store":
    """The MLflow store of the project in this folder."""
    from voxtwist.tracking.store import open_store

    return open_store(Path(), (settings or params.load(PARAMS)).tracking.experiment)
