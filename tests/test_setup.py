"""The Makefile's set-up, with a Python that only writes down what it is asked."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FROM_MAKE = re.compile("MAKE|(VENV|PYTHON|PRESET)$")

RECORDER = """#!/usr/bin/env bash
echo "$@" >> {log}
if [ "$1 $2" = "-m venv" ]; then mkdir -p "$3/bin" && cp "$0" "$3/bin/python"; fi
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout with the Makefile and requirements, and `recorder` as its Python."""
    for name in ("Makefile", ".gitignore"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    recorder = tmp_path / "recorder"
    recorder.write_text(RECORDER.format(log=tmp_path / "log"))
    recorder.chmod(0o755)
    return tmp_path


def make(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments, f"PYTHON={project / 'recorder'}"],
        cwd=project,
        # `make test VENV=...` hands its variables down to every make below it.
        env={name: value for name, value in os.environ.items() if not FROM_MAKE.match(name)},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def installs(project: Path) -> list[str]:
    calls = (project / "log").read_text().splitlines()
    return [call.split("-qq ", 1)[1] for call in calls if call.startswith("-m pip")]


def test_setup_installs_once_and_again_when_requirements_change(project: Path):
    everything = [
        "-r requirements/runtime.txt",
        "--no-deps -r requirements/bundled.txt",
        "--no-deps -e .",
    ]
    assert make(project, "setup").returncode == 0
    assert installs(project) == everything

    assert make(project, "setup").returncode == 0
    assert installs(project) == everything

    (project / "requirements/bundled.txt").write_text("speechmos==0.0.1.1\n")
    make(project, "setup")
    assert installs(project) == everything * 2


def test_repro_lays_the_preset_checks_it_runs_the_pipeline_and_shows_the_results(project: Path):
    dvc = project / ".venv/bin/dvc"
    dvc.parent.mkdir(parents=True)
    dvc.write_text(f'#!/bin/sh\necho dvc "$@" >> {project / "log"}\n')
    dvc.chmod(0o755)

    done = make(project, "repro", "PRESET=slam-omni", "RAW=/some/folder")
    assert done.returncode == 0, done.stderr
    calls = (project / "log").read_text().splitlines()
    assert calls[-4:] == [
        "-m voxtwist preset slam-omni --raw /some/folder",
        "-m voxtwist check",
        "dvc repro",
        "-m voxtwist summary",
    ]


def test_an_interrupted_set_up_is_taken_up_again(project: Path):
    recorder = project / "recorder"
    working = recorder.read_text()
    recorder.write_text(working + '[[ "$*" != *bundled* ]]\n')
    assert make(project, "setup").returncode != 0
    assert not installs(project)[-1].endswith("-e .")

    recorder.write_text(working)
    assert make(project, "setup").returncode == 0
    assert installs(project)[-1].endswith("-e .")


def test_an_old_python_is_refused_with_the_way_out(project: Path):
    (project / "recorder").write_text("#!/bin/sh\nexit 1\n")
    done = make(project, "setup")
    assert "error: Python 3.11 or newer is needed: make PYTHON=" in done.stderr
    assert not (project / ".venv").exists()


def test_clean_deletes_what_was_made_and_nothing_of_the_user_s(project: Path):
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    (project / ".dvc").mkdir()
    shutil.copy(ROOT / ".dvc/.gitignore", project / ".dvc")
    made = [".venv/bin/python", "mlflow.db", "mlruns/voxtwist/x", ".cache/x", ".dvc/cache/files"]
    kept = [".dvc/config.local", "src/new.py", "mlruns/.gitkeep"]
    for name in made + kept:
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).touch()

    assert make(project, "clean").returncode == 0
    assert [name for name in made if (project / name).exists()] == []
    assert [name for name in kept if not (project / name).exists()] == []


def test_help_lists_every_target():
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    [phony] = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for target in set(phony.split()) - {"test-setup"}:
        assert f"make {target} " in done.stdout


def test_every_dependency_is_pinned_exactly():
    pins = {}
    for name in ("runtime", "bundled", "dev"):
        for line in (ROOT / f"requirements/{name}.txt").read_text().splitlines():
            if line and not line.startswith("#"):
                package, version = line.split(" ;")[0].split("==")
                pins[package] = version
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    dependencies = {name.lower().replace(".", "-") for name in project["dependencies"]}
    assert dependencies <= {name.lower().replace(".", "-") for name in pins}
    assert (pins["torch"], pins["torchaudio"]) == ("2.14.1", "2.11.0")


def test_tracking_points_everything_below_make_at_a_server(project: Path):
    show = ("--eval", "show: ; @echo $$MLFLOW_TRACKING_URI", "show")
    assert make(project, *show, "TRACKING=http://server:5000").stdout == "http://server:5000\n"
