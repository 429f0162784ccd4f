"""The `voxtwist` command: every area brings its own commands."""

import typer

from voxtwist.cli import (
    chat,
    compare,
    data,
    demo,
    evaluate,
    generate,
    inspect,
    lineage,
    preflight,
    registry,
    speak,
    sweep,
    tracking,
)
from voxtwist.terminal import one_line_errors

AREAS = (
    data,
    inspect,
    speak,
    chat,
    demo,
    generate,
    evaluate,
    sweep,
    tracking,
    lineage,
    registry,
    compare,
    preflight,
)

app = typer.Typer(
    help="Teach a text LLM to answer in text and then speak.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for area in AREAS:
    area.register(app)


def main() -> None:
    with one_line_errors():
        app()
