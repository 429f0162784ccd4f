"""`voxtwist lm-eval`: EleutherAI's harness, which then knows `unitlm` and the bundled tasks."""

import sys

import typer


def register(app: typer.Typer) -> None:
    app.command(
        "lm-eval",
        context_settings={
            "allow_extra_args": True,
            "ignore_unknown_options": True,
            "help_option_names": [],
        },
    )(lm_eval)


def lm_eval(context: typer.Context) -> None:
    """Run lm-eval, all of whose options are passed on: --model unitlm --model_args
    pretrained=DIR[,mask_speech=True,answer_prefix=<text>] --tasks trivia."""
    from lm_eval.__main__ import cli_evaluate

    import voxtwist.evaluation.unitlm  # noqa: F401 - registers the model
    from voxtwist.evaluation.text import TASKS

    arguments = context.args
    if "--tasks" in arguments and "--include_path" not in arguments:
        arguments = [*arguments, "--include_path", str(TASKS)]
    sys.argv = ["lm-eval", *arguments]
    cli_evaluate()
