"""Panel Evaluate: `voxtwist evaluate-text`, `lm-eval`, `import-slamkit`, `compare` and `votes`."""

import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from voxtwist import params
from voxtwist.cli.options import PARAMS, SERVER_HELP, project_store
from voxtwist.errors import VoxtwistError

if TYPE_CHECKING:
    from voxtwist.evaluation.statistics import PairedComparison
    from voxtwist.pages.blind import Key

PANEL = "Evaluate"
QUICK = 10  # questions per task
PAGE = Path("comparison/page.html")  # the folder is ignored by git
KEY = Path("comparison/page.key.json")
_STDERR = "_stderr"


def register(app: typer.Typer) -> None:
    app.command("evaluate-text", rich_help_panel=PANEL)(evaluate_text)
    app.command(
        "lm-eval",
        rich_help_panel=PANEL,
        context_settings={
            "allow_extra_args": True,
            "ignore_unknown_options": True,
            "help_option_names": [],
        },
    )(lm_eval)
    app.command("import-slamkit", rich_help_panel=PANEL)(import_slamkit)
    app.command(rich_help_panel=PANEL)(compare)
    app.command(rich_help_panel=PANEL)(votes)


def evaluate_text(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint folder")],
    output: Annotated[Path, typer.Option(help="Folder for questions, details and CSV files")],
    suite: Annotated[
        list[str],
        typer.Option(
            help="May be given several times: trivia, mmlu_redux_letters, one subject of it "
            "(mmlu_redux_anatomy_letters), or any task or group of lm-eval"
        ),
    ],
    before: Annotated[
        Path | None, typer.Option(help="OUTPUT of an earlier model, for a paired comparison")
    ] = None,
    datasets: Annotated[
        Path | None, typer.Option(help="Folder with local copies of the hub's data sets")
    ] = None,
    train: Annotated[
        Path | None, typer.Option(help="Training split; a suite that shares a question is refused")
    ] = None,
    tokenizer: Annotated[str | None, typer.Option(help="Tokenizer for a UnitLM checkpoint")] = None,
    quick: Annotated[bool, typer.Option("--quick", help=f"{QUICK} questions per task")] = False,
    limit: Annotated[int | None, typer.Option(help="Questions per task")] = None,
    batch_size: Annotated[int, typer.Option(help="Questions at a time")] = 16,
    mask_speech: Annotated[
        bool, typer.Option("--mask-speech", help="Give speech tokens no probability")
    ] = False,
    server: Annotated[str | None, typer.Option(help=SERVER_HELP)] = None,
    bootstrap: Annotated[int, typer.Option(help="Resamples behind each interval")] = 2000,
) -> None:
    """Run text suites on a checkpoint, as the stage evaluate_text does."""
    from rich.console import Console

    from voxtwist.evaluation.text.evaluate import evaluate_text, write_results
    from voxtwist.evaluation.text.table import compare_text, read_questions

    earlier = read_questions(before) if before else None
    results = evaluate_text(
        checkpoint,
        suite,
        limit=QUICK if quick else limit,
        batch_size=batch_size,
        datasets=datasets,
        train=train,
        tokenizer=tokenizer,
        mask_speech=mask_speech,
        server=server,
    )
    write_results(output, results, bootstrap)
    console = Console()
    console.print(results_table(results.metrics))
    if earlier:
        console.print(comparison_table(compare_text(earlier, results.questions, bootstrap)))
    console.print(f"Written to {output}", highlight=False)


def import_slamkit(
    checkpoint: Annotated[Path, typer.Argument(help="Folder of a UnitLM checkpoint")],
    output: Annotated[Path, typer.Argument(help="Folder for the plain checkpoint")],
    tokenizer: Annotated[str, typer.Option(help="Folder or hub name of the base model")],
    fmt: Annotated[
        params.Format | None,
        typer.Option("--format", help="Default: told by the number of embedding rows"),
    ] = None,
    n_codes: Annotated[int, typer.Option(help="Codes of the codec")] = 4096,
) -> None:
    """Convert a UnitLM checkpoint (model type speech_language_model) to a plain one."""
    from voxtwist.model.slamkit import import_slamkit

    found = import_slamkit(checkpoint, output, tokenizer, fmt, n_codes)
    typer.echo(f"{output}: format {found}, {n_codes} codes")


def lm_eval(context: typer.Context) -> None:
    """Run lm-eval with its own options.

    For example --model unitlm --model_args
    pretrained=DIR[,mask_speech=True,answer_prefix=<text>] --tasks trivia.
    """
    from lm_eval.__main__ import cli_evaluate

    import voxtwist.evaluation.text.unitlm  # noqa: F401 - registers the model
    from voxtwist.evaluation.text.suites import TASKS

    arguments = context.args
    if "--tasks" in arguments and "--include_path" not in arguments:
        arguments = [*arguments, "--include_path", str(TASKS)]
    sys.argv = ["lm-eval", *arguments]
    cli_evaluate()


def compare(
    models: Annotated[
        list[str],
        typer.Argument(help="Run ids or versions: 3, @champion, models:/voxtwist@champion"),
    ],
    output: Annotated[Path, typer.Option(help="The page, one self-contained file")] = PAGE,
    blind: Annotated[
        bool, typer.Option("--blind", help="Two models without names; the page collects votes")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the order on a blind page")] = 0,
    serve: Annotated[
        bool, typer.Option("--serve", help="Serve the blind page on localhost and store each vote")
    ] = False,
    port: Annotated[int, typer.Option(help="For --serve; 0: any free port")] = 0,
) -> None:
    """Compare several models' answers on one page: audio, transcripts, figures."""
    from tempfile import TemporaryDirectory

    from voxtwist.comparison.sides import load_side
    from voxtwist.pages.blind import key_path, write_blind
    from voxtwist.pages.comparison import write_comparison

    if serve and not blind:
        raise VoxtwistError("--serve stores the votes of a blind page: add --blind")
    settings = params.load(PARAMS)
    store = project_store(settings)
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
    key: Annotated[Path, typer.Option(help="The key file beside the blind page")] = KEY,
) -> None:
    """Count the votes of a blind page and log them into both models' runs."""
    from voxtwist.comparison.votes import add_votes, read_votes
    from voxtwist.pages.blind import read_key

    secret = read_key(key)
    given = read_votes(files, secret)
    store = project_store()
    found = add_votes(store, given, secret)
    typer.echo(f"{found.votes} votes of {found.listeners} listeners")
    for run_id, won in ((found.first, found.won), (found.second, found.lost)):
        typer.echo(f"{secret.models[run_id]}: better on {won} questions")
    typer.echo(f"no difference on {found.even}; sign test p = {found.p_value:.3f}")


def _serve(page: Path, key: "Key", port: int) -> None:
    from voxtwist.comparison.server import vote_server

    votes = page.with_suffix(".votes.jsonl")
    server = vote_server(page, key, votes, port)
    typer.echo(f"{server.address} until Ctrl-C; votes go to {votes}")
    with suppress(KeyboardInterrupt):
        server.serve_forever()
    typer.echo(f"then: voxtwist votes {votes}")


def results_table(metrics: Mapping[str, float]) -> Table:
    """One row for each figure that has a standard error, and each leaked mass."""
    table = Table("", "value", "standard error", "questions", box=None, header_style="bold")
    for name, value in metrics.items():
        level, _, metric = _split(name, metrics)
        stem, slash, answer_filter = metric.partition("/")
        error = metrics.get(f"{level}/{stem}{_STDERR}{slash}{answer_filter}")
        if stem.endswith("leaked_mass"):
            table.add_row(name, f"{value:.2g}", "", "")
        elif error is not None and not stem.endswith(_STDERR):
            n = metrics.get(f"{level}/n")
            table.add_row(name, f"{value:.1%}", f"{error:.1%}", f"{n:.0f}" if n else "")
    return table


def comparison_table(compared: Mapping[str, "PairedComparison"]) -> Table:
    """One row a comparison: before, after, and the difference with its interval and p."""
    header = ("", "before", "after", "difference", "95 % interval", "p", "questions")
    table = Table(*header, box=None, header_style="bold")
    for name, c in compared.items():
        interval = f"{c.low:+.1%} … {c.high:+.1%}"
        figures = (f"{c.before:.1%}", f"{c.after:.1%}", f"{c.difference:+.1%}", interval)
        table.add_row(name, *figures, f"{c.p_value:.3f}", str(c.n))
    return table


def _split(name: str, metrics: Mapping[str, float]) -> tuple[str, str, str]:
    """ "trivia/acc" -> ("trivia", "/", "acc"); names of groups may hold a slash themselves."""
    level = name
    while "/" in level:
        level = level.rpartition("/")[0]
        if f"{level}/n" in metrics:
            return level, "/", name.removeprefix(f"{level}/")
    return name.partition("/")
