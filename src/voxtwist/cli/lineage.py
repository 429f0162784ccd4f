"""`voxtwist lineage`, `recreate` and `doctor`: where models come from, and whether it all holds."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from voxtwist import params

if TYPE_CHECKING:
    from voxtwist.tracking.recreation.comparison import Comparison
    from voxtwist.tracking.store import Store

PARAMS = Path("params.yaml")

Target = Annotated[
    str, typer.Argument(help="models:/NAME@ALIAS, models:/NAME/3, or a run id or its first letters")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON")]


def register(app: typer.Typer) -> None:
    app.command("lineage")(lineage)
    app.command("recreate")(recreate)
    app.command("doctor")(doctor)


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

    store = _store()
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
        typer.Option(help="Largest difference of metrics: 0.05, or eval/loss=0.1; repeat it"),
    ] = None,
    from_raw: Annotated[
        bool, typer.Option("--from-raw", help="Convert, split and twist again too")
    ] = False,
    evaluate: Annotated[
        bool, typer.Option(help="Run the evaluation stages when the weights differ")
    ] = True,
    as_json: Json = False,
) -> None:
    """Train a model again at its commit, with its data and settings, and compare the two."""
    from voxtwist.tracking.query import find_model
    from voxtwist.tracking.recreation.comparison import Tolerance
    from voxtwist.tracking.recreation.recreate import recreate as recreate_model

    limits = Tolerance.parse(tolerance or [])
    store = _store()
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


def doctor(
    fix: Annotated[bool, typer.Option("--fix", help="Do what is safe")] = False,
    silent_minutes: Annotated[
        float, typer.Option(help="A run elsewhere is stale after so long without a metric")
    ] = 60,
    as_json: Json = False,
) -> None:
    """Check store, runs, lock, disk and lineage; exit with 1 when something is wrong."""
    from voxtwist.tracking.doctor.examine import examine
    from voxtwist.tracking.doctor.report import as_dicts, show

    findings = examine(Path(), params.load(PARAMS), silent_minutes)
    if fix:
        findings = [finding.mended() for finding in findings]
    if as_json:
        typer.echo(json.dumps(as_dicts(findings), indent=2))
    else:
        show(findings)
    if any(finding.wrong for finding in findings):
        raise typer.Exit(1)


def _store() -> "Store":
    from voxtwist.tracking.store import open_store

    return open_store(Path(), params.load(PARAMS).tracking.experiment)


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
