"""`voxtwist evaluate-text`, `import-slamkit` and `lm-eval`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from voxtwist.cli.chat import SERVER_HELP

QUICK = 10  # questions a task


def register(app: typer.Typer) -> None:
    app.command("evaluate-text")(evaluate_text)
    app.command("import-slamkit")(import_slamkit)
    app.command(
        "lm-eval",
        context_settings={
            "allow_extra_args": True,
            "ignore_unknown_options": True,
            "help_option_names": [],
        },
    )(lm_eval)


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
        Path | None, typer.Option(help="OUTPUT of an earlier model: compare in pairs")
    ] = None,
    datasets: Annotated[
        Path | None, typer.Option(help="Folder with local copies of the hub's data sets")
    ] = None,
    train: Annotated[
        Path | None, typer.Option(help="Training split: refuse a suite that shares a question")
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="Of a UnitLM checkpoint, which has none")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help=f"{QUICK} questions a task")] = False,
    limit: Annotated[int | None, typer.Option(help="Questions a task")] = None,
    batch_size: Annotated[int, typer.Option()] = 16,
    mask_speech: Annotated[
        bool, typer.Option("--mask-speech", help="Give speech tokens no probability")
    ] = False,
    server: Annotated[str | None, typer.Option(help=SERVER_HELP)] = None,
    bootstrap: Annotated[int, typer.Option(help="Resamples behind each interval")] = 2000,
) -> None:
    """Ask a checkpoint text questions, as the stage evaluate_text does."""
    from rich.console import Console

    from voxtwist.cli.text_tables import comparison_table, results_table
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
    tokenizer: Annotated[str, typer.Option(help="The base model's: folder or hub name")],
    fmt: Annotated[
        str | None,
        typer.Option("--format", help="v1 or v1.1; told by the number of rows where it can be"),
    ] = None,
    n_codes: Annotated[int, typer.Option(help="Codes of the codec")] = 4096,
) -> None:
    """Turn a UnitLM checkpoint (model type speech_language_model) into a plain one."""
    from voxtwist.model.slamkit import import_slamkit

    fmt = import_slamkit(checkpoint, output, tokenizer, fmt, n_codes)
    typer.echo(f"{output}: format {fmt}, {n_codes} codes")


def lm_eval(context: typer.Context) -> None:
    """Run lm-eval, all of whose options are passed on: --model unitlm --model_args
    pretrained=DIR[,mask_speech=True,answer_prefix=<text>] --tasks trivia."""
    from lm_eval.__main__ import cli_evaluate

    import voxtwist.evaluation.text.unitlm  # noqa: F401 - registers the model
    from voxtwist.evaluation.text.suites import TASKS

    arguments = context.args
    if "--tasks" in arguments and "--include_path" not in arguments:
        arguments = [*arguments, "--include_path", str(TASKS)]
    sys.argv = ["lm-eval", *arguments]
    cli_evaluate()
