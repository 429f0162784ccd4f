"""`voxtwist generate`: a file of questions answered in text and speech."""

from pathlib import Path
from typing import Annotated

import typer

from voxtwist.cli.chat import CHECKPOINT, CHECKPOINT_HELP, load_speaker, read_settings


def register(app: typer.Typer) -> None:
    app.command("generate")(generate)


def generate(
    questions: Annotated[Path, typer.Option(help='JSONL: {"question": …} or a string a line')],
    output: Annotated[Path, typer.Option(help="Folder for texts, tokens and audio")],
    checkpoint: Annotated[str, typer.Option(help=CHECKPOINT_HELP)] = CHECKPOINT,
    speaker: Annotated[str | None, typer.Option(help="Built-in voice of CosyVoice")] = None,
    prompt_audio: Annotated[
        Path | None, typer.Option(help="Recording of the voice to speak with")
    ] = None,
    temperature: Annotated[float | None, typer.Option(min=0, help="0: greedy")] = None,
    seed: Annotated[int | None, typer.Option(min=0)] = None,
    params_file: Annotated[
        Path, typer.Option("--params", help="Codec, generation and seed come from here")
    ] = Path("params.yaml"),
) -> None:
    """Answer many questions in batches."""
    from voxtwist.inference.answer_file import answer_file, read_questions

    asked = read_questions(questions)
    settings = read_settings(params_file, speaker, prompt_audio, temperature, seed)
    loaded = load_speaker(checkpoint, settings)
    counts = answer_file(loaded, asked, settings.generate, settings.seed, output)
    typer.echo(f"{output}: " + ", ".join(f"{n} {what}" for what, n in counts.items()))
