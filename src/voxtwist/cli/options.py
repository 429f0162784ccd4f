"""Options that several commands share, and what they are turned into."""

from collections.abc import Sequence
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
_CODES_DEFAULT = "default: what the files say, else params.yaml here"
NumberOfCodes = Annotated[
    int | None, typer.Option(min=2, help=f"Number of codes of the codec; {_CODES_DEFAULT}")
]
FrameRate = Annotated[
    int | None, typer.Option(min=1, help=f"Codes per second of the codec; {_CODES_DEFAULT}")
]
Seed = Annotated[
    int | None, typer.Option(min=0, help="Seed of the answers; default: params.yaml's")
]


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


def resolve_origin(
    shards: Sequence[Path], codes: int | None, frame_rate: int | None
) -> tuple[int, int]:
    """(number of codes, codes per second); a note on stderr says so if params.yaml decided.

    Raises:
        VoxtwistError: nothing says them, the command line contradicts a shard, or a shard is no
            parquet file.
    """
    from voxtwist.codec.origin import Origin
    from voxtwist.data.raw import open_shard, read_origin

    said = Origin()
    for shard in shards:
        with open_shard(shard) as file:
            said = read_origin(file.schema_arrow, shard)
        if said != Origin():
            asked = Origin(frame_rate_hz=frame_rate, vocab_size=codes)
            said.refuse_unless(asked, str(shard), "the command line says")
            break
    codes, frame_rate = codes or said.vocab_size, frame_rate or said.frame_rate_hz
    if codes and frame_rate:
        return codes, frame_rate
    if not PARAMS.is_file():
        raise VoxtwistError(
            f"{shards[0]} does not say its codec's number of codes and rate: give --codes and "
            "--frame-rate (4096 and 50 for the published SLAM-Omni data)"
        )
    codec = params.load(PARAMS).codec
    codes, frame_rate = codes or codec.n_codes, frame_rate or codec.frame_rate_hz
    typer.echo(
        f"{codes} codes, {frame_rate} per second: {PARAMS} says what the files do not; "
        "--codes and --frame-rate overrule it",
        err=True,
    )
    return codes, frame_rate
