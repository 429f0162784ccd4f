import subprocess
from pathlib import Path

import torch

from voxtwist.tracking import lineage


def git(root: Path, *arguments: str, text: str | None = None) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=root, check=True, capture_output=True, text=True, input=text
    )
    return done.stdout


def test_a_clean_tree_stays_clean_while_the_pipeline_writes(repository: Path):
    (repository / "pipelines/corpus").mkdir(parents=True)
    (repository / "metrics").mkdir()
    for output in ("dvc.lock", "pipelines/corpus/dvc.lock", "metrics/train.json", ".gitignore"):
        (repository / output).write_text("{}")
    found = lineage.commit(repository)
    assert found.sha == git(repository, "rev-parse", "HEAD").strip()
    assert (found.dirty, found.diff) == (False, "")


def test_settings_are_on_record_and_make_no_tree_dirty_but_belong_to_the_patch_of_one(
    repository: Path,
):
    (repository / "params.yaml").write_text("learning_rate: 0.1\n")
    (repository / "model.py").write_text("layers = 4\n")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "settings")
    (repository / "params.yaml").write_text("learning_rate: 0.3\n")
    (repository / "sweep").mkdir()
    (repository / "sweep/best.yaml").write_text("{}")
    found = lineage.commit(repository)
    assert (found.dirty, found.diff) == (False, "")

    (repository / "model.py").write_text("layers = 8\n")
    found = lineage.commit(repository)
    assert found.dirty
    assert "+layers = 8" in found.diff
    assert "+learning_rate: 0.3" in found.diff
    assert "best.yaml" not in found.diff


def test_the_patch_makes_the_same_tree_out_of_the_commit(repository: Path, tmp_path: Path):
    git(repository, "config", "color.ui", "always")
    (repository / "model.py").write_text("layers = 4\n")
    (repository / "new file.py").write_text("width = 8\n")
    (repository / "picture.bin").write_bytes(bytes(range(256)))
    (repository / "staged.py").write_text("depth = 1\n")
    git(repository, "add", "staged.py")
    found = lineage.commit(repository)
    assert found.dirty

    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(repository), str(clone))
    git(clone, "apply", "-", text=found.diff)
    for name in ("model.py", "new file.py", "picture.bin", "staged.py"):
        assert (clone / name).read_bytes() == (repository / name).read_bytes()
    assert git(repository, "status", "--porcelain=v1").count("\n") == 4


def test_a_large_new_file_makes_the_tree_dirty_but_not_the_patch_large(repository: Path):
    (repository / "recording.wav").write_bytes(b"\0" * (lineage.UNTRACKED_LIMIT + 1))
    found = lineage.commit(repository)
    assert (found.dirty, found.diff) == (True, "")


def test_without_git_or_commits_the_commit_is_unknown(tmp_path: Path):
    assert lineage.commit(tmp_path).sha is None
    git(tmp_path, "init", "-q")
    assert lineage.commit(tmp_path).sha is None


def test_collected_tags(repository: Path, monkeypatch):
    monkeypatch.setenv("DVC_EXP_NAME", "brave-owl")
    (repository / "raw").mkdir()
    (repository / "raw/a.parquet").write_bytes(b"PAR1")
    tags = lineage.collect(repository, {"raw": "raw"}).tags()
    assert tags["git.commit"] == tags["mlflow.source.git.commit"]
    assert tags["dvc.experiment"] == "brave-owl"
    assert "dvc.stage" not in tags
    assert tags["md5.raw"].endswith(".dir")
    assert tags["version.torch"] == torch.__version__.split("+")[0]
    assert {"hardware.gpu", "hardware.cpu", "version.python"} < tags.keys()
    assert all(isinstance(value, str) for value in tags.values())
