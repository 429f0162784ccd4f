"""`voxtwist preflight` and `estimate`: before a long run, and before a larger one."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from voxtwist.scale.estimate import Estimate
    from voxtwist.scale.preflight import Preflight

STYLES = {"ok": "green", "warning": "yellow", "missing": "bold red"}
PARAMS = typer.Option("--params", help="What is to be run")


def register(app: typer.Typer) -> None:
    app.command("preflight")(preflight)
    app.command("estimate")(estimate)


def preflight(
    params_file: Annotated[Path, PARAMS] = Path("params.yaml"),
    probe_seconds: Annotated[
        float, typer.Option(min=0, help="Time this machine for so long; 0: do not")
    ] = 60,
    dollars: Annotated[
        float | None, typer.Option(min=0, help="Price of an hour of this machine")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Look for all that params.yaml needs, and tell how long it will take (exit code 1 if
    something is missing)."""
    from voxtwist import params
    from voxtwist.scale.preflight import preflight as run

    settings = params.load(params_file)
    with Console(stderr=True).status("Looking, and timing this machine"):
        found = run(settings, Path(), probe_seconds)
    if as_json:
        typer.echo(json.dumps(found.as_dict(dollars), indent=2, ensure_ascii=False))
    else:
        _show(found, dollars)
    if not found.ready:
        raise typer.Exit(1)


def estimate(
    params_file: Annotated[Path, PARAMS] = Path("params.yaml"),
    split: Annotated[
        Path | None, typer.Option(help="Training split; default VoiceAssistant-400K's, by numbers")
    ] = None,
    measure: Annotated[
        bool, typer.Option(help="Measure this machine too, for about a second")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Tokens, FLOPs, hours and memory of a training: here, on 1 and 8 H100, and on 1,000 times the
    data."""
    from dataclasses import replace

    from voxtwist import params
    from voxtwist.scale.estimate import estimate as work_out
    from voxtwist.scale.estimate import h100, voice_assistant
    from voxtwist.scale.model_size import model_size
    from voxtwist.scale.probe import this_machine
    from voxtwist.scale.split_shape import split_shape

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
    for heading in ("", "tokens", "FLOPs", "hours", "GB a device", "dollars"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, row in rows.items():
        memory = f"{row.memory_gb:.1f}" + ("" if row.fits else " (too much)")
        cost = "" if row.dollars is None else f"{row.dollars:,.0f}"
        table.add_row(
            name, f"{row.tokens:.3g}", f"{row.flops:.3g}", f"{row.hours:,.2f}", memory, cost
        )
    return table
