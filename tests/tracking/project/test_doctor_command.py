"""`voxtwist doctor` on the real pipeline: nothing to say, then what was broken on purpose."""

import json
import shutil

import pytest

pytestmark = pytest.mark.slow


def findings(project, *options: str) -> dict[str, list[dict]]:
    """By check."""
    done = project.voxtwist("doctor", "--json", *options, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    found: dict[str, list[dict]] = {}
    for finding in json.loads(done.stdout):
        found.setdefault(finding["check"], []).append(finding)
    assert done.returncode == any(f["wrong"] for group in found.values() for f in group)
    return found


def test_what_was_broken_on_purpose(trained, tmp_path, monkeypatch):
    project = trained.clone_with_data(tmp_path / "clone")
    # The runs and versions are those of the original.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", trained.store.uri)
    assert not {"lineage", "lock", "schema", "stale run"} & findings(project).keys()

    # Another cache, without the raw data; the work tree's copy is gone too.
    copied = tmp_path / "cache"
    shutil.copytree(trained.folder / ".dvc/cache", copied)
    run = trained.store.client.get_run(trained.report("train")["run_id"])
    raw = run.data.tags["md5.raw"]
    (copied / "files/md5" / raw[:2] / raw[2:]).unlink()
    shutil.rmtree(project.folder / "data/raw/embedded")
    project.run("dvc", "config", "--local", "cache.dir", str(copied))
    code = project.folder / "pipelines/split.py"
    code.write_text(code.read_text() + "\n")

    found = findings(project)
    [gone] = found["lineage"]
    assert f"{raw} (raw of models:/voxtwist/1) is in no cache" in gone["problem"]
    [lock] = found["lock"]
    assert "split" in lock["problem"]
    assert "would run again" in lock["problem"]
