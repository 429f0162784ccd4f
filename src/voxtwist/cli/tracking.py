"""`voxtwist preset`, `summary` and `ui`: choose the settings, read the results."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from voxtwist import params
from voxtwist.preset import apply_preset

PARAMS = Path("params.yaml")


def register(app: typer.Typer) -> None:
    app.command("preset")(preset)
    app.command("summary")(summary)
    app.command("ui")(ui)


def preset(
    name: Annotated[str, typer.Argument(help="A file of presets/, without .yaml")],
    raw: Annotated[str | None, typer.Option(help="Folder of raw shards, as data.raw")] = None,
) -> None:
    """Lay a preset over params.yaml; its comments stay."""
    changes = apply_preset(name, PARAMS, Path("presets"), raw)
    for setting, (old, new) in changes.items():
        typer.echo(f"{setting}: {old} -> {new}")
    if not changes:
        typer.echo(f"params.yaml already holds preset {name}")


def summary() -> None:
    """Show what the last `dvc repro` made, from metrics/*.json."""
    from voxtwist.stages.summary import show

    show(Path("metrics"))


def ui(
    port: Annotated[int, typer.Option(help="On localhost")] = 5000,
) -> None:
    """Open the experiments in MLflow's web interface, until Ctrl-C."""
    from voxtwist.tracking.store import open_store

    store = open_store(Path(), params.load(PARAMS).tracking.experiment)
    if store.uri.startswith("http"):
        typer.echo(f"the experiments are on the server {store.uri}")
        return
    # The UI opens on its pages for prompts and traces unless told otherwise.
    page = f"#/experiments/{store.experiment_id}/runs?workflowType=machine_learning"
    typer.echo(f"MLflow starts, in some seconds: http://localhost:{port}/{page}")
    # Its job queue serves features that are not used here, with seven processes and 500 MB.
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    os.environ["PYTHONWARNINGS"] = "ignore"
    server = ["mlflow", "server", "--backend-store-uri", store.uri, "--host", "127.0.0.1"]
    options = ["--port", str(port), "--workers", "1", "--uvicorn-opts", "--log-level=warning"]
    os.execv(sys.executable, [sys.executable, "-m", *server, *options])
