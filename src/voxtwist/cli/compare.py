"""`voxtwist compare` and `votes`: hear models side by side, and settle which one is better."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from voxtwist import params
from voxtwist.errors import VoxtwistError

if TYPE_CHECKING:
    from voxtwist.pages.blind import Key

PARAMS = Path("params.yaml")
PAGE = Path("comparison/page.html")  # the folder is ignored by git
KEY = Path("comparison/page.key.json")


def register(app: typer.Typer) -> None:
    app.command("compare")(compare)
    app.command("votes")(votes)


def compare(
    models: Annotated[
        list[str],
        typer.Argument(help="Run ids or versions: 3, @champion, models:/voxtwist@champion"),
    ],
    output: Annotated[
        Path, typer.Option(help="The page; one file that needs nothing else.")
    ] = PAGE,
    blind: Annotated[
        bool, typer.Option("--blind", help="Two models without names; the page collects votes.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the order of a blind page.")] = 0,
    serve: Annotated[
        bool, typer.Option("--serve", help="Show the blind page on localhost, store each vote.")
    ] = False,
    port: Annotated[int, typer.Option(help="For --serve; 0: any that is free.")] = 0,
) -> None:
    """Put the answers of several models on one page: players, transcripts, figures."""
    from tempfile import TemporaryDirectory

    from voxtwist.comparison.sides import load_side
    from voxtwist.pages.blind import key_path, write_blind
    from voxtwist.pages.comparison import write_comparison
    from voxtwist.tracking.store import open_store

    if serve and not blind:
        raise VoxtwistError("--serve stores the votes of a blind page: add --blind")
    settings = params.load(PARAMS)
    store = open_store(Path(), settings.tracking.experiment)
    with TemporaryDirectory() as scratch:
        sides = [
            load_side(
                store, settings.tracking.model, name, settings.promotion, Path(scratch) / str(i)
            )
            for i, name in enumerate(models)
        ]
        if not blind:
            write_comparison(output, sides)
            typer.echo(f"{output}: {' · '.join(side.name for side in sides)}")
            return
        key = write_blind(output, sides, seed, served=serve)
    typer.echo(f"{output}: {len(key.questions)} questions; {key_path(output)} says whose is whose")
    if serve:
        _serve(output, key, port)


def votes(
    files: Annotated[list[Path], typer.Argument(help="votes-….json or page.votes.jsonl")],
    key: Annotated[Path, typer.Option(help="Written beside the blind page.")] = KEY,
) -> None:
    """Count the votes of a blind page, and add them to the runs of both models."""
    from voxtwist.comparison.votes import add_votes, read_votes
    from voxtwist.pages.blind import read_key
    from voxtwist.tracking.store import open_store

    secret = read_key(key)
    given = read_votes(files, secret)
    store = open_store(Path(), params.load(PARAMS).tracking.experiment)
    found = add_votes(store, given, secret)
    typer.echo(f"{found.votes} votes of {found.listeners} listeners")
    for run_id, won in ((found.first, found.won), (found.second, found.lost)):
        typer.echo(f"{secret.models[run_id]}: better on {won} questions")
    typer.echo(f"no difference on {found.even}; sign test p = {found.p_value:.3f}")


def _serve(page: Path, key: "Key", port: int) -> None:
    from voxtwist.comparison.server import VoteServer

    votes = page.with_suffix(".votes.jsonl")
    with VoteServer(page, key, votes, port) as server:
        typer.echo(f"{server.address} until Ctrl-C; votes go to {votes}")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            typer.echo(f"then: voxtwist votes {votes}")
