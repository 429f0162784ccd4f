"""Optuna's dashboard on the study, with the audio of trials that spoke."""

import logging
from collections.abc import Callable
from pathlib import Path

import optuna
from optuna.artifacts import FileSystemArtifactStore
from optuna_dashboard import run_server

from voxtwist.errors import VoxtwistError
from voxtwist.params import Params
from voxtwist.sweep.job import Outputs, Paths
from voxtwist.sweep.run import make_job
from voxtwist.sweep.space import Space
from voxtwist.sweep.study import open_storage


def serve(
    params: Params,
    paths: Paths,
    outputs: Outputs,
    storage: str | None,
    port: int,
    say: Callable[[str], None],
) -> None:
    """Show the study of the current settings, which may still be running, else the last one kept.

    Raises:
        VoxtwistError: there is neither.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    location, artifacts = storage, outputs.artifacts
    if location is None:
        location = str(outputs.journal)
        if Path(paths.start).exists():
            job = make_job(Space(params), paths, None)
            if Path(job.storage).exists():
                location, artifacts = job.storage, job.artifacts
        if not Path(location).exists():
            raise VoxtwistError("there is no study yet: run `make sweep`")
    logging.getLogger("wsgiref").setLevel(logging.ERROR)
    artifacts.mkdir(parents=True, exist_ok=True)
    say(f"The study is on http://localhost:{port}/ until Ctrl-C")
    run_server(
        open_storage(location),
        host="localhost",
        port=port,
        artifact_store=FileSystemArtifactStore(artifacts),
    )
