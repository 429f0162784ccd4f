"""Panel Talk: `voxtwist chat`, `demo` and `generate`."""

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from voxtwist.cli.options import (
    CHECKPOINT,
    CHECKPOINT_HELP,
    PARAMS,
    ParamsFile,
    PromptAudio,
    Seed,
    ServerUrl,
    SpeakerName,
    Temperature,
    load_speaker,
    read_settings,
)

if TYPE_CHECKING:
    from voxtwist.inference.chat import Chat

PANEL = "Talk"


def register(app: typer.Typer) -> None:
    for command in (chat, demo, generate):
        app.command(rich_help_panel=PANEL)(command)


def chat(
    checkpoint: Annotated[str, typer.Argument(help=CHECKPOINT_HELP)] = CHECKPOINT,
    output: Annotated[Path, typer.Option(help="Folder for speech and its tokens")] = Path("chat"),
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one line of JSON per answer, for scripts")
    ] = False,
    play: Annotated[bool, typer.Option(help="Play each answer if a player is installed")] = True,
    speaker: SpeakerName = None,
    prompt_audio: PromptAudio = None,
    temperature: Temperature = None,
    seed: Seed = None,
    server: ServerUrl = None,
    params_file: ParamsFile = PARAMS,
) -> None:
    """Talk with a model: its text as it is generated, then its speech."""
    from voxtwist.cli.chat_terminal import ChatTerminal, find_player
    from voxtwist.inference.chat import Chat

    settings = read_settings(params_file, speaker, prompt_audio, temperature, seed, server)
    loaded = load_speaker(checkpoint, settings)
    talk = Chat(loaded, settings.codec, settings.generate, settings.seed, output)
    if as_json:
        _answer_json(talk)
        return
    ChatTerminal(talk, find_player() if play and sys.stdout.isatty() else None).run()


def demo(
    checkpoint: Annotated[str, typer.Argument(help=CHECKPOINT_HELP)] = CHECKPOINT,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free port")] = 8000,
    host: Annotated[
        str,
        typer.Option(help="Anyone who reaches it can use the model: there is no login"),
    ] = "127.0.0.1",
    speaker: SpeakerName = None,
    prompt_audio: PromptAudio = None,
    params_file: ParamsFile = PARAMS,
) -> None:
    """Serve a local web page to talk with a model, until Ctrl-C."""
    from voxtwist.pages.demo import Demo, demo_server

    settings = read_settings(params_file, speaker, prompt_audio)
    loaded = load_speaker(checkpoint, settings)
    server = demo_server(Demo(checkpoint, loaded, settings.generate, settings.seed), host, port)
    typer.echo(f"{server.address} (Ctrl-C to end)")
    with suppress(KeyboardInterrupt):
        server.serve_forever()


def generate(
    questions: Annotated[Path, typer.Option(help='JSONL: {"question": …} or one string per line')],
    output: Annotated[Path, typer.Option(help="Folder for texts, tokens and audio")],
    checkpoint: Annotated[str, typer.Option(help=CHECKPOINT_HELP)] = CHECKPOINT,
    speaker: SpeakerName = None,
    prompt_audio: PromptAudio = None,
    temperature: Temperature = None,
    seed: Seed = None,
    server: ServerUrl = None,
    params_file: ParamsFile = PARAMS,
) -> None:
    """Answer a file of questions in batches."""
    from voxtwist.inference.answer_file import answer_file, read_question_file

    asked = read_question_file(questions)
    settings = read_settings(params_file, speaker, prompt_audio, temperature, seed, server)
    loaded = load_speaker(checkpoint, settings)
    counts = answer_file(loaded, asked, settings.generate, settings.seed, output)
    typer.echo(f"{output}: " + ", ".join(f"{n} {what}" for what, n in counts.items()))


def _answer_json(talk: "Chat") -> None:
    for line in sys.stdin:
        question = line.strip()
        if question:
            exchange = talk.ask(question, lambda text: None, lambda codes: None)
            print(json.dumps(exchange.as_row(), ensure_ascii=False), flush=True)
