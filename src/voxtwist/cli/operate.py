"""Panel Operate: `voxtwist check`, `doctor`, `summary` and `ui`."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from voxtwist import params
from voxtwist.cli.options import PARAMS, Json, project_store
from voxtwist.credentials import masked

PANEL = "Operate"


def register(app: typer.Typer) -> None:
    for command in (check, doctor, summary, ui):
        app.command(rich_help_panel=PANEL)(command)


def check() -> None:
    """Check the settings in params.yaml; exit code 1 if one is wrong. Runs nothing."""
    params.load(PARAMS)


def doctor(
    fix: Annotated[bool, typer.Option("--fix", help="Repair what is safe to repair")] = False,
    silent_minutes: Annotated[
        float, typer.Option(help="A run on another host is stale after this long without a metric")
    ] = 60,
    as_json: Json = False,
) -> None:
    """Check store, runs, lock, disk and lineage; exit code 1 if anything is wrong."""
    from voxtwist.tracking.doctor.examine import examine
    from voxtwist.tracking.doctor.finding import as_dicts, show_findings

    findings = examine(Path(), params.load(PARAMS), silent_minutes)
    if fix:
        findings = [finding.mended() for finding in findings]
    if as_json:
        typer.echo(json.dumps(as_dicts(findings), indent=2))
    else:
        show_findings(findings)
    if any(finding.wrong for finding in findings):
        raise typer.Exit(1)


def summary() -> None:
    """Show the results of the last `dvc repro`, from metrics/*.json."""
    from voxtwist.stages.summary import show_summary

    show_summary(Path("metrics"))


def ui(
    port: Annotated[int, typer.Option(help="On localhost")] = 5000,
) -> None:
    """Serve the experiments in MLflow's web interface, until Ctrl-C."""
    store = project_store()
    if store.uri.startswith("http"):
        typer.echo(f"the experiments are on the server {masked(store.uri)}")
        return
    # The UI opens on its pages for prompts and traces by default.
    page = f"#/experiments/{store.experiment_id}/runs?workflowType=machine_learning"
    typer.echo(f"MLflow starts in a few seconds: http://localhost:{port}/{page}")
    # Its job queue serves features that are not used here, with seven processes and 500 MB.
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    os.environ["PYTHONWARNINGS"] = "ignore"
    server = ["mlflow", "server", "--backend-store-uri", store.uri, "--host", "127.0.0.1"]
    options = ["--port", str(port), "--workers", "1", "--uvicorn-opts", "--log-level=warning"]
    os.execv(sys.executable, [sys.executable, "-m", *server, *options])
