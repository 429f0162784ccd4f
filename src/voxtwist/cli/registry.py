"""`voxtwist promote` and `rollback`: which version the aliases of the registry point at."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from voxtwist import params

if TYPE_CHECKING:
    from rich.table import Table

    from voxtwist.promotion.gates import Gate

PARAMS = Path("params.yaml")
VERDICTS = {True: "[green]pass[/]", False: "[bold red]refuse[/]", None: "[yellow]skipped[/]"}


class Alias(StrEnum):
    champion = "champion"
    challenger = "challenger"


def register(app: typer.Typer) -> None:
    app.command("promote")(promote)
    app.command("rollback")(rollback)


def promote(
    version: Annotated[
        str,
        typer.Argument(help="3, @challenger, models:/voxtwist/3 or models:/voxtwist@challenger"),
    ],
    to: Annotated[Alias, typer.Option(help="The alias that moves.")] = Alias.champion,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the gates.")] = False,
    override: Annotated[
        str | None, typer.Option(help="Promote although a gate refuses; why is recorded.")
    ] = None,
) -> None:
    """Move an alias to a version that passes the gates of `promotion` in params.yaml.

    Exit code 1 when a gate refuses.
    """
    from rich.console import Console

    from voxtwist.promotion.promote import assess
    from voxtwist.promotion.promote import promote as promote_version
    from voxtwist.tracking.registry import find_version
    from voxtwist.tracking.store import open_store

    settings = params.load(PARAMS)
    store = open_store(Path(), settings.tracking.experiment)
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
        to.value,
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
    from voxtwist.promotion.rollback import rollback as undo
    from voxtwist.tracking.store import open_store

    tracking = params.load(PARAMS).tracking
    entry = undo(open_store(Path(), tracking.experiment), Path(), tracking.model)
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
