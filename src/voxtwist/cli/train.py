"""Panel Train: `voxtwist preset`, `preflight`, `estimate` and `sweep`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from voxtwist import params
from voxtwist.cli.options import PARAMS, Json, ParamsFile
from voxtwist.sweep.job import Outputs, Paths

if TYPE_CHECKING:
    from voxtwist.preflight.estimate import Estimate
    from voxtwist.preflight.preflight import Preflight

PANEL = "Train"
STYLES = {"ok": "green", "warning": "yellow", "missing": "bold red"}
PATHS = Paths(base="checkpoints/base", start="checkpoints/twist", splits="data/splits")
OUTPUTS = Outputs(folder=Path("sweep"), report=Path("metrics/sweep.json"))

sweep = typer.Typer(help="Search for settings with Optuna.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    for command in (preset, preflight, estimate):
        app.command(rich_help_panel=PANEL)(command)
    app.add_typer(sweep, name="sweep", rich_help_panel=PANEL)


def preset(
    name: Annotated[str, typer.Argument(help="A file of presets/, without .yaml")],
    raw: Annotated[str | None, typer.Option(help="Folder of raw shards, as data.raw")] = None,
) -> None:
    """Apply a preset to params.yaml; comments stay."""
    from voxtwist.preset import apply_preset

    changes = apply_preset(name, PARAMS, Path("presets"), raw)
    for setting, (old, new) in changes.items():
        typer.echo(f"{setting}: {old} -> {new}")
    if not changes:
        typer.echo(f"params.yaml already holds preset {name}")


def preflight(
    params_file: ParamsFile = PARAMS,
    probe_seconds: Annotated[
        float, typer.Option(min=0, help="Time this machine for this long; 0: skip")
    ] = 60,
    dollars: Annotated[
        float | None, typer.Option(min=0, help="Price of this machine per hour")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check everything params.yaml needs and estimate how long it takes.

    Exit code 1 if something is missing.
    """
    from voxtwist.preflight.preflight import preflight as run

    settings = params.load(params_file)
    with Console(stderr=True).status("Checking, and timing this machine"):
        found = run(settings, Path(), probe_seconds)
    if as_json:
        typer.echo(json.dumps(found.as_dict(dollars), indent=2, ensure_ascii=False))
    else:
        _show(found, dollars)
    if not found.ready:
        raise typer.Exit(1)


def estimate(
    params_file: ParamsFile = PARAMS,
    split: Annotated[
        Path | None,
        typer.Option(help="Training split; default: VoiceAssistant-400K's size"),
    ] = None,
    measure: Annotated[
        bool, typer.Option(help="Also measure this machine, for about a second")
    ] = True,
    as_json: Json = False,
) -> None:
    """Estimate tokens, FLOPs, hours and memory of a training.

    Here, on 1 and 8 H100, and on 1,000 times the data.
    """
    from dataclasses import replace

    from voxtwist.preflight.estimate import estimate as work_out
    from voxtwist.preflight.estimate import h100, split_shape, voice_assistant
    from voxtwist.preflight.model_size import model_size
    from voxtwist.preflight.probe import this_machine

    settings = params.load(params_file)
    size = model_size(settings)
    data = split_shape(split) if split else voice_assistant(settings.codec.frame_rate_hz)
    much = replace(data, samples=1000 * data.samples)
    train = settings.train
    rows = {
        **({"here": work_out(size, data, train, this_machine(settings, size))} if measure else {}),
        "1 x H100": work_out(size, data, train, h100(1)),
        "8 x H100": work_out(size, data, train, h100(8)),
        "1,000 x the data, 8 x H100": work_out(size, much, train, h100(8)),
        "1,000 x the data, 512 x H100": work_out(size, much, train, h100(512)),
    }
    if as_json:
        typer.echo(json.dumps({name: row.as_dict() for name, row in rows.items()}, indent=2))
        return
    Console().print(_table(rows))


def _show(found: "Preflight", dollars: float | None) -> None:
    console = Console()
    table = Table(box=None)
    for heading in ("", "state", "found"):
        table.add_column(heading, overflow="fold")
    for check in found.checks:
        table.add_row(check.name, f"[{STYLES[check.state]}]{check.state}", check.found)
        if check.mend and check.state != "ok":
            table.add_row("", "", f"→ {check.mend}", style="dim")
    console.print(table)
    if found.stages:
        times = Table(box=None)
        for heading in ("stage", "hours", "dollars", "from"):
            times.add_column(
                heading, justify="right" if heading in ("hours", "dollars") else "left"
            )
        for stage in found.stages:
            hours = "?" if stage.hours is None else f"{stage.hours:,.2f}"
            unknown = stage.hours is None or dollars is None
            cost = "" if unknown else f"{(stage.hours or 0) * (dollars or 0):,.2f}"
            times.add_row(stage.name, hours, cost, stage.basis)
        console.print("", times)


def _table(rows: "dict[str, Estimate]") -> Table:
    table = Table(box=None)
    for heading in ("", "tokens", "FLOPs", "hours", "GB per device", "dollars"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, row in rows.items():
        memory = f"{row.memory_gb:.1f}" + ("" if row.fits else " (too much)")
        cost = "" if row.dollars is None else f"{row.dollars:,.0f}"
        table.add_row(
            name, f"{row.tokens:.3g}", f"{row.flops:.3g}", f"{row.hours:,.2f}", memory, cost
        )
    return table


@sweep.command("run")
def sweep_run(
    workers: Annotated[
        int, typer.Option(min=1, envvar="VOXTWIST_WORKERS", help="Processes; each gets a GPU")
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
    """Run the study of params.yaml, or resume it, as the stage `sweep` does."""
    import logging

    from voxtwist.sweep.run import run_sweep

    logging.basicConfig(format="%(message)s")
    run_sweep(params.load(PARAMS), PATHS, OUTPUTS, workers, storage, join)


@sweep.command("apply")
def sweep_apply() -> None:
    """Write the best trial's settings into params.yaml; comments stay."""
    from voxtwist.errors import VoxtwistError
    from voxtwist.preset import apply_overlay

    if not OUTPUTS.best.exists():
        raise VoxtwistError(f"{OUTPUTS.best} is missing: run `make sweep`")
    changes = apply_overlay(OUTPUTS.best, PARAMS)
    for setting, (old, new) in changes.items():
        typer.echo(f"{setting}: {old} -> {new}")
    if not changes:
        typer.echo(f"params.yaml already holds {OUTPUTS.best}")


@sweep.command("confirm")
def sweep_confirm(
    top: Annotated[int, typer.Option(min=1, help="How many of the best trials")] = 3,
    seeds: Annotated[int, typer.Option(min=2, help="Seeds per trial and for the baseline")] = 3,
) -> None:
    """Train the best trials on the full budget with several seeds, as DVC experiments."""
    from rich.console import Console

    from voxtwist.sweep.confirm import confirm, confirmation_table

    report = Path("metrics/sweep_confirm.json")
    found = confirm(params.load(PARAMS), OUTPUTS, top, seeds, report, typer.echo)
    Console().print(confirmation_table(found))


@sweep.command("dashboard")
def sweep_dashboard(
    port: Annotated[int, typer.Option(help="On localhost")] = 8080,
    storage: Annotated[
        str | None,
        typer.Option(envvar="VOXTWIST_STORAGE", help="As for `sweep run`"),
    ] = None,
) -> None:
    """Serve the study in Optuna's dashboard, until Ctrl-C; it may still be running."""
    from voxtwist.sweep.dashboard import serve

    serve(params.load(PARAMS), PATHS, OUTPUTS, storage, port, typer.echo)
