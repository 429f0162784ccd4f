"""`voxtwist compare` and `votes` as a user runs them."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from voxtwist.tracking.store import Store

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(store: Store) -> Path:
    """The folder that holds the store; the commands read params.yaml there."""
    folder = store.spool.parents[1]
    shutil.copy(ROOT / "params.yaml", folder)
    return folder


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "voxtwist", *arguments]


def voxtwist(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), cwd=project, capture_output=True, text=True)


def test_a_page_of_two_runs(project: Path, run_ids: list[str]) -> None:
    done = voxtwist(project, "compare", *run_ids)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "comparison/page.html: embedded careful · embedded hasty\n"
    assert "embedded hasty" in (project / "comparison" / "page.html").read_text()
    unknown = voxtwist(project, "compare", run_ids[0], "@champion")
    assert "has no alias 'champion'" in unknown.stderr


def test_served_votes_become_a_verdict(project: Path, run_ids: list[str]) -> None:
    serving = subprocess.Popen(
        command("compare", *run_ids, "--blind", "--serve"),
        cwd=project, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        lines = iter(serving.stdout.readline, "")
        address = next(found[0] for line in lines if (found := re.search(r"http://\S+/", line)))
        key = json.loads((project / "comparison" / "page.key.json").read_text())
        for question, runs in list(key["questions"].items())[:5]:
            better = "A" if runs["A"] == run_ids[0] else "B"
            vote = {"listener": "Ada", "question": question, "choice": better, "at": "now"}
            vote["comparison"] = key["comparison"]
            assert requests.post(f"{address}votes", json=vote, timeout=60).status_code == 204
    finally:
        serving.terminate()  # not SIGINT, which jobs in the background may ignore
        serving.wait()
    done = voxtwist(project, "votes", "comparison/page.votes.jsonl")
    assert done.returncode == 0, done.stderr
    assert "5 votes of 1 listeners" in done.stdout
    assert "embedded careful: better on 5 questions" in done.stdout
    assert "sign test p = 0.062" in done.stdout
