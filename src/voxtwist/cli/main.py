"""The `voxtwist` command: one module per panel of its help."""

from importlib.metadata import version
from typing import Annotated

import typer

from voxtwist.cli import data, evaluate, inspect, operate, registry, speak, talk, train
from voxtwist.terminal import one_line_errors

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for panel in (data, inspect, train, evaluate, talk, speak, registry, operate):
    panel.register(app)


def show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"voxtwist {version('voxtwist')}")
        raise typer.Exit


@app.callback()
def voxtwist(
    asked: Annotated[
        bool,
        typer.Option("--version", callback=show_version, is_eager=True, help="Show the version"),
    ] = False,
) -> None:
    """Teach a text LLM to answer in text and then speak."""


def main() -> None:
    with one_line_errors():
        app()
