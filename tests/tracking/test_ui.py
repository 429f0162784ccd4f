"""What `voxtwist ui` starts."""

import os
import shutil
from itertools import pairwise
from pathlib import Path

from typer.testing import CliRunner

from voxtwist.cli.main import app


def test_mlflow_opens_on_localhost_5000_with_the_projects_store(tmp_path, monkeypatch):
    shutil.copy("params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    started = []
    monkeypatch.setattr(os, "execv", lambda _, command: started.extend(command))
    done = CliRunner().invoke(app, ["ui"])
    assert done.exit_code == 0, done.output
    options = dict(pairwise(started))
    assert options["mlflow"] == "server"
    assert options["--host"] == "127.0.0.1"
    assert options["--port"] == "5000"
    assert options["--backend-store-uri"] == f"sqlite:///{Path.cwd()}/mlflow.db"
    assert "http://localhost:5000/#/experiments/" in done.output
