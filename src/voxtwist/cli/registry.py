"""Panel Registry: `voxtwist lineage`, `recreate`, `promote` and `rollback`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from voxtwist import params
from voxtwist.cli.options import PARAMS, Json, project_store

if TYPE_CHECKING:
    from rich.table import Table

    from voxtwist.promotion.gates import Gate
    from voxtwist.tracking.recreation.comparison import Comparison

PANEL = "Registry"
VERDICTS = {True: "[green]pass[/]", False: "[bold red]refuse[/]", None: "[yellow]skipped[/]"}

Target = Annotated[
    str, typer.Argument(help="models:/NAME@ALIAS, models:/NAME/3, or a run id or its first letters")
]


def register(app: typer.Typer) -> None:
    for command in (lineage, recreate, promote, rollback):
        app.command(rich_help_panel=PANEL)(command)


def lineage(
    target: Annotated[
        str, typer.Argument(help="A model version, a run id, a DVC md5, or a data file or folder")
    ],
    as_json: Json = False,
) -> None:
    """Show where a model comes from, or which runs and versions used some data."""
    from rich.console import Console

    from voxtwist.tracking import ancestry, query
    from voxtwist.tracking.ancestry_tree import data_tree, model_tree
    from voxtwist.tracking.objects import Objects

    store = project_store()
    objects = Objects(Path())
    found = query.find(store, target)
    if isinstance(found, query.Model):
        document, tree = ancestry.of_model(store, objects, found), model_tree
    else:
        document, tree = ancestry.of_data(store, objects, found.md5), data_tree
    if as_json:
        typer.echo(json.dumps(document, indent=2))
    else:
        console = Console(highlight=False)
        # A tree in a file or pipe keeps its lines whole.
        console.print(tree(document), width=None if console.is_terminal else 1000)


def recreate(
    target: Target,
    into: Annotated[
        Path | None, typer.Option(help="Folder of the worktree; default .scratch/recreate/RUN")
    ] = None,
    tolerance: Annotated[
        list[str] | None,
        typer.Option(help="Largest accepted difference: 0.05, or eval/loss=0.1; may be repeated"),
    ] = None,
    from_raw: Annotated[
        bool, typer.Option("--from-raw", help="Also convert, split and twist again")
    ] = False,
    evaluate: Annotated[
        bool, typer.Option(help="Run the evaluation stages when the weights differ")
    ] = True,
    as_json: Json = False,
) -> None:
    """Train a model again from its commit, data and settings, and compare the two."""
    from voxtwist.tracking.query import find_model
    from voxtwist.tracking.recreation.comparison import Tolerance
    from voxtwist.tracking.recreation.recreate import recreate as recreate_model

    limits = Tolerance.parse(tolerance or [])
    store = project_store()
    found = find_model(store, target)
    folder = into or Path(".scratch/recreate") / found.run.info.run_id
    done = recreate_model(
        store,
        Path(),
        found,
        folder,
        limits,
        from_raw=from_raw,
        evaluate=evaluate,
        say=lambda line: typer.echo(line, err=True),
    )
    if as_json:
        typer.echo(json.dumps(done.as_dict(), indent=2))
    else:
        _show_comparison(done.comparison)
        typer.echo(f"run {done.recreated} recreates {done.original}")
        typer.echo(f"remove the worktree with `git worktree remove --force {done.folder}`")
    if done.comparison.verdict == "different":
        raise typer.Exit(1)


def promote(
    version: Annotated[
        str,
        typer.Argument(help="3, @challenger, models:/voxtwist/3 or models:/voxtwist@challenger"),
    ],
    to: Annotated[params.Alias, typer.Option(help="The alias to move")] = "champion",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the gates")] = False,
    override: Annotated[
        str | None, typer.Option(help="Promote although a gate refuses; the reason is recorded")
    ] = None,
) -> None:
    """Move an alias to a version that passes the gates of `promotion` in params.yaml.

    Exit code 1 when a gate refuses.
    """
    from rich.console import Console

    from voxtwist.promotion.promote import assess
    from voxtwist.promotion.promote import promote as promote_version
    from voxtwist.tracking.registry import find_version

    settings = params.load(PARAMS)
    store = project_store(settings)
    console = Console()
    found = find_version(store, settings.tracking.model, version)
    assessment = assess(store, Path(), found, settings.promotion)
    console.print(_table(assessment.gates))
    rival = assessment.champion
    against = f"against champion, version {rival.version}" if rival else "no champion to compare"
    console.print(f"{found.name} version {found.version}, {against}", highlight=False)
    if dry_run:
        raise typer.Exit(1 if assessment.refused else 0)
    entry = promote_version(
        store,
        Path(),
        assessment,
        to,
        override,
        lambda step: console.print(f"{step} …", style="dim"),
    )
    console.print(
        f"models:/{entry.model}@{entry.alias} is version {entry.after} now, before: "
        f"{entry.before or 'none'}. Commit promotions.jsonl",
        highlight=False,
        soft_wrap=True,
    )


def rollback() -> None:
    """Undo the last promotion: its alias points where it pointed before."""
    from voxtwist.promotion.promote import rollback as undo

    settings = params.load(PARAMS)
    entry = undo(project_store(settings), Path(), settings.tracking.model)
    typer.echo(
        f"models:/{entry.model}@{entry.alias} is {_named(entry.after)} again, "
        f"no longer version {entry.before}"
    )


def _named(version: str | None) -> str:
    return f"version {version}" if version else "no version"


def _table(gates: "list[Gate]") -> "Table":
    from rich.markup import escape
    from rich.table import Table

    table = Table("gate", "measured", "required", "verdict", box=None, header_style="bold")
    for gate in gates:
        table.add_row(gate.name, escape(gate.measured), gate.required, VERDICTS[gate.passed])
    return table


def _show_comparison(comparison: "Comparison") -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(soft_wrap=True, highlight=False)
    before, after = comparison.checkpoint
    console.print(f"[bold]{comparison.verdict}[/bold]: checkpoint {before} and {after}")
    for title, changes in (("data", comparison.data), ("environment", comparison.environment)):
        for name, (old, new) in changes.items():
            console.print(f"{title} {name}: {old} -> {new}", markup=False)
    if before == after or not comparison.metrics:
        return
    table = Table("metric", "original", "recreated", "tolerance", "", box=None, pad_edge=False)
    for d in comparison.metrics:
        mark = "" if d.accepted else "[bold red]beyond[/bold red]"
        table.add_row(d.metric, f"{d.original:.4f}", f"{d.recreated:.4f}", f"{d.tolerance:g}", mark)
    console.print(table)
