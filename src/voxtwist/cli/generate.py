"""`voxtwist generate`: a file of questions answered in text and speech."""

from pathlib import Path
from typing import Annotated

import typer

from voxtwist.cli.chat import (
    CHECKPOINT,
    CHECKPOINT_HELP,
    ParamsFile,
    PromptAudio,
    Seed,
    ServerUrl,
    SpeakerName,
    Temperature,
    load_speaker,
    read_settings,
)


def register(app: typer.Typer) -> None:
    app.command("generate")(generate)


def generate(
    questions: Annotated[Path, typer.Option(help='JSONL: {"question": …} or a string a line')],
    output: Annotated[Path, typer.Option(help="Folder for texts, tokens and audio")],
    checkpoint: Annotated[str, typer.Option(help=CHECKPOINT_HELP)] = CHECKPOINT,
    speaker: SpeakerName = None,
    prompt_audio: PromptAudio = None,
    temperature: Temperature = None,
    seed: Seed = None,
    server: ServerUrl = None,
    params_file: ParamsFile = Path("params.yaml"),
) -> None:
    """Answer many questions in batches."""
    from voxtwist.inference.answer_file import answer_file, read_questions

    asked = read_questions(questions)
    settings = read_settings(params_file, speaker, prompt_audio, temperature, seed, server)
    loaded = load_speaker(checkpoint, settings)
    counts = answer_file(loaded, asked, settings.generate, settings.seed, output)
    typer.echo(f"{output}: " + ", ".join(f"{n} {what}" for what, n in counts.items()))
