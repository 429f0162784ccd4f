"""`voxtwist demo`: a local web page to talk with a model."""

from pathlib import Path
from typing import Annotated

import typer

from voxtwist.cli.chat import (
    CHECKPOINT,
    CHECKPOINT_HELP,
    ParamsFile,
    PromptAudio,
    SpeakerName,
    load_speaker,
    read_settings,
)


def register(app: typer.Typer) -> None:
    app.command("demo")(demo)


def demo(
    checkpoint: Annotated[str, typer.Argument(help=CHECKPOINT_HELP)] = CHECKPOINT,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one")] = 8000,
    host: Annotated[
        str, typer.Option(help="Whoever reaches this address can use the model: there is no login")
    ] = "127.0.0.1",
    speaker: SpeakerName = None,
    prompt_audio: PromptAudio = None,
    params_file: ParamsFile = Path("params.yaml"),
) -> None:
    """Open a page to type to a model, read and listen, until Ctrl-C."""
    from voxtwist.pages.demo import Demo, DemoServer

    settings = read_settings(params_file, speaker, prompt_audio)
    loaded = load_speaker(checkpoint, settings)
    server = DemoServer(Demo(checkpoint, loaded, settings.generate, settings.seed), host, port)
    typer.echo(f"http://{host}:{server.server_port}/ (Ctrl-C to end)")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()
