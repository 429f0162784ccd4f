"""`voxtwist sweep`: search for settings, take over the best, and make sure that it is better."""

from pathlib import Path
from typing import Annotated

import typer

from voxtwist import params
from voxtwist.sweep.job import Outputs, Paths

PARAMS = Path("params.yaml")
PATHS = Paths(base="checkpoints/base", start="checkpoints/twist", splits="data/splits")
OUTPUTS = Outputs(folder=Path("sweep"), report=Path("metrics/sweep.json"))

group = typer.Typer(help="Search for settings with Optuna.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="sweep")


@group.command()
def run(
    workers: Annotated[
        int, typer.Option(min=1, envvar="VOXTWIST_WORKERS", help="Processes; each has a GPU")
    ] = 1,
    storage: Annotated[
        str | None,
        typer.Option(
            envvar="VOXTWIST_STORAGE",
            help="Shared by machines: a journal file, or postgresql://...; default: in .scratch",
        ),
    ] = None,
    join: Annotated[
        bool, typer.Option("--join", help="Only run trials; another machine writes the results")
    ] = False,
) -> None:
    """Run the study of params.yaml, or what is missing of it, as the stage `sweep` does."""
    import logging

    from voxtwist.sweep.run import run_sweep

    logging.basicConfig(format="%(message)s")
    run_sweep(params.load(PARAMS), PATHS, OUTPUTS, workers, storage, join)


@group.command()
def apply() -> None:
    """Write the best trial's settings into params.yaml; its comments stay."""
    from voxtwist.errors import VoxtwistError
    from voxtwist.preset import apply_overlay

    if not OUTPUTS.best.exists():
        raise VoxtwistError(f"{OUTPUTS.best} is missing: run `make sweep`")
    changes = apply_overlay(OUTPUTS.best, PARAMS)
    for setting, (old, new) in changes.items():
        typer.echo(f"{setting}: {old} -> {new}")
    if not changes:
        typer.echo(f"params.yaml already holds {OUTPUTS.best}")


@group.command()
def confirm(
    top: Annotated[int, typer.Option(min=1, help="Trials, the best ones")] = 3,
    seeds: Annotated[int, typer.Option(min=2, help="Of each of them, and of the baseline")] = 3,
) -> None:
    """Train the best trials on the full budget as DVC experiments, against the noise of seeds."""
    from rich.console import Console

    from voxtwist.sweep.confirm import confirm, confirmation_table

    report = Path("metrics/sweep_confirm.json")
    found = confirm(params.load(PARAMS), OUTPUTS, top, seeds, report, typer.echo)
    Console().print(confirmation_table(found))


@group.command()
def dashboard(
    port: Annotated[int, typer.Option(help="On localhost")] = 8080,
    storage: Annotated[
        str | None,
        typer.Option(envvar="VOXTWIST_STORAGE", help="As of `sweep run`; default: of .scratch"),
    ] = None,
) -> None:
    """Open the study in Optuna's dashboard, until Ctrl-C; it may still be running."""
    from voxtwist.sweep.dashboard import serve

    serve(params.load(PARAMS), PATHS, OUTPUTS, storage, port, typer.echo)
