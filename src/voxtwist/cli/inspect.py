"""Panel Data: `voxtwist inspect raw` and `inspect sample`."""

import dataclasses
import json
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from voxtwist import params
from voxtwist.cli.data import PANEL
from voxtwist.cli.options import FrameRate, Json, NumberOfCodes, resolve_origin

if TYPE_CHECKING:
    from voxtwist.data.inspect_sample import SampleView, TokenView

FOLDED = ("speech", "unknown")  # long runs of these say nothing to a reader:
SHOWN_OF_A_RUN = 6  # only so many at either end are shown
STYLES = {"text": "default", "control": "cyan", "speech": "magenta", "unknown": "bold red"}


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Look at raw files and converted samples.", no_args_is_help=True)
    group.command("raw")(raw)
    group.command("sample")(sample)
    app.add_typer(group, name="inspect", rich_help_panel=PANEL)


def raw(
    files: Annotated[list[str], typer.Argument(help="Parquet files, folders or patterns")],
    codes: NumberOfCodes = None,
    frame_rate: FrameRate = None,
    as_json: Json = False,
) -> None:
    """Show schema, counts, lengths and a preview of raw parquet files."""
    from voxtwist.data.inspect_raw import describe_raw
    from voxtwist.data.raw import find_shards

    shards = [shard for name in files for shard in find_shards(name)]
    report = describe_raw(shards, *resolve_origin(shards, codes, frame_rate))
    if as_json:
        typer.echo(json.dumps(report, indent=2, ensure_ascii=False))
    else:
        _show_raw(report, Console())


def sample(
    file: Annotated[Path, typer.Argument(help="A .jsonl of `convert` or `split`")],
    tokenizer: Annotated[
        str, typer.Option(help="Folder of a checkpoint, or folder or hub name of a base model")
    ] = "checkpoints/twist",
    index: Annotated[int, typer.Option(min=0, help="Line, from 0")] = 0,
    format: Annotated[params.Format | None, typer.Option(help="For a base model")] = None,
    codes: Annotated[int | None, typer.Option(help="Number of codes, for a base model")] = None,
    frame_rate: Annotated[
        int | None,
        typer.Option(min=1, help="Codes per second; default: what FILE's table of rows says"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show one sample token by token and check its form; exit code 1 if a check fails."""
    from voxtwist.data.files import rows_path
    from voxtwist.data.inspect_sample import describe_sample, read_line
    from voxtwist.data.stats import read_frame_rate
    from voxtwist.vocabulary import load_extended_tokenizer

    line = read_line(file, index)
    rows = rows_path(file)
    rate = frame_rate or (read_frame_rate(rows) if rows.is_file() else None)
    view = describe_sample(line, load_extended_tokenizer(tokenizer, codes, format), rate)
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(view), indent=2, ensure_ascii=False))
    else:
        _show_sample(view, Console())
    if not view.passed:
        raise typer.Exit(1)


def _show_raw(report: dict[str, Any], console: Console) -> None:
    columns = Table(title="Columns", title_justify="left", box=None)
    columns.add_column("name")
    columns.add_column("type", overflow="fold")
    for name, kind in report["columns"].items():
        columns.add_row(name, kind)
    counts = Table(title="Rows", title_justify="left", box=None, show_header=False)
    for name in ("files", "rows", "usable", "hours of speech"):
        counts.add_row(name, f"{report[name]:,}")
    counts.add_row("codes of the codec", f"{report['codes']:,}")
    counts.add_row("codes per second", f"{report['frame_rate_hz']}")
    for reason, count in report["rejected"].items():
        counts.add_row(f"rejected: {reason}", f"{count:,}", style="yellow")
    console.print(columns, "", counts, "")
    statistics = {name: values for name, values in report["statistics"].items() if values}
    table = Table(title="Usable rows", title_justify="left", box=None)
    table.add_column()
    for heading in next(iter(statistics.values()), {}):
        table.add_column(heading, justify="right")
    for name, values in statistics.items():
        table.add_row(name, *(f"{value:,.1f}" for value in values.values()))
    console.print(table)
    for row in report["preview"]:
        console.print()
        console.print(Text(f"{row['shard']} row {row['row']}, {row['seconds']:.1f} s", style="dim"))
        for turn, text in enumerate(row["turns"]):
            console.print(Text(f"{('question', 'reply')[turn % 2]:<10}{text}"))
        console.print(Text(f"answer    {row['answer']}"))
        console.print(Text(f"codes     {' '.join(map(str, row['codes']))} …"))


def _show_sample(view: "SampleView", console: Console) -> None:
    table = Table(box=None)
    for heading in ("place", "id"):
        table.add_column(heading, justify="right")
    for heading in ("token", "modality", "learnt", "attended"):
        table.add_column(heading)
    for modality, run in groupby(view.tokens, key=lambda token: token.modality):
        tokens = list(run)
        if modality not in FOLDED or len(tokens) <= 2 * SHOWN_OF_A_RUN:
            _add_tokens(table, tokens)
            continue
        _add_tokens(table, tokens[:SHOWN_OF_A_RUN])
        hidden = len(tokens) - 2 * SHOWN_OF_A_RUN
        table.add_row("…", "", f"{hidden} more", modality, "", "", style="dim")
        _add_tokens(table, tokens[-SHOWN_OF_A_RUN:])
    console.print(table)
    console.print(Text(f"\nprompt   {view.prompt!r}"))
    console.print(Text(f"answer   {view.answer!r}"))
    length = "" if view.seconds is None else f", {view.seconds:.2f} s"
    console.print(Text(f"speech   {view.codes} codes{length}\n"))
    for check in view.checks:
        mark = ("✓", "green") if check.passed else ("✗", "bold red")
        console.print(Text.assemble(mark, f" {check.name}: {check.detail}"))


def _add_tokens(table: Table, tokens: "list[TokenView]") -> None:
    for token in tokens:
        table.add_row(
            str(token.position),
            str(token.id),
            Text(repr(token.text)[1:-1], style=STYLES[token.modality]),
            token.modality,
            "yes" if token.supervised else "-",
            "yes" if token.attended else "NO",
        )
