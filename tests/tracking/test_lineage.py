import subprocess
from pathlib import Path

import pytest
import torch

from voxtwist.errors import VoxtwistError
from voxtwist.tracking import lineage
from voxtwist.vcs import md5


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
    (repository / "src").mkdir()
    (repository / "src/new file.py").write_text("width = 8\n")
    (repository / "src/picture.bin").write_bytes(bytes(range(256)))
    (repository / "staged.py").write_text("depth = 1\n")
    git(repository, "add", "staged.py")
    found = lineage.commit(repository)
    assert found.dirty

    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(repository), str(clone))
    git(clone, "apply", "-", text=found.diff)
    for name in ("model.py", "src/new file.py", "src/picture.bin", "staged.py"):
        assert (clone / name).read_bytes() == (repository / name).read_bytes()
    assert git(repository, "status", "--porcelain=v1").count("\n") == 3


def test_of_what_git_does_not_track_only_code_goes_into_the_store(repository: Path):
    (repository / ".gitignore").write_text("ignored.py\n")
    (repository / "model.py").write_text("layers = 4\n")
    secret = {
        ".env": "PASSWORD=hunter2",
        ".netrc": "machine example.org password hunter2",
        "secrets/id_rsa": "hunter2",
        "src/.env.local": "hunter2",
        "src/aws_credentials.py": "hunter2",
        "src/upload.py": f"token = 'hf_{'hunter' * 6}'",
        "src/push.py": "remote = 'https://me:hunter2@example.org'",
        "src/key.py": "-----BEGIN OPENSSH PRIVATE KEY-----",
        "src/ignored.py": "hunter2",
        "notes.txt": "hunter2",
        "src/large.py": "#" * lineage.UNTRACKED_LIMIT + "hunter2",
    }
    code = {"src/new.py": "width = 8\n", "src/tokens.py": "ids = []\n", "pipelines/new.py": "1\n"}
    for name, text in (secret | code).items():
        (repository / name).parent.mkdir(exist_ok=True)
        (repository / name).write_text(text)
    (repository / "src/.#model.py").symlink_to("me@host.1234:5678")  # an editor's lock
    found = lineage.commit(repository)
    assert found.dirty
    assert "+layers = 4" in found.diff
    for name, text in code.items():
        assert f"+++ b/{name}\n" in found.diff
        assert f"+{text}" in found.diff
    for text in ("hunter", "PRIVATE KEY", "me@host"):
        assert text not in found.diff
    listed = {record["path"]: record for record in found.left_out}
    assert listed.keys() == secret.keys() - {"src/ignored.py"} | {"src/.#model.py"}
    assert listed["notes.txt"] == {
        "path": "notes.txt", "size": 7, "md5": md5(repository / "notes.txt")
    }  # fmt: skip
    assert listed[".env"] == {"path": ".env", "size": 16, "md5": None}


def test_a_tracked_secret_stays_out_of_the_patch(repository: Path, caplog):
    for name in (".env", "upload.py", "model.py"):
        (repository / name).write_text("x = 1\n")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "careless")
    (repository / ".env").write_text("hunter2\n")
    (repository / "upload.py").write_text("x = 'ghp_" + "hunter" * 6 + "'\n")
    (repository / "model.py").write_text("x = 2\n")
    found = lineage.commit(repository)
    assert "+x = 2" in found.diff
    assert "hunter" not in found.diff
    assert {record["path"] for record in found.left_out} == {".env", "upload.py"}
    assert "looks like a secret: .env, upload.py" in caplog.text


def test_without_git_or_commits_the_commit_is_unknown_and_the_reason_is_said(
    tmp_path: Path, caplog
):
    assert lineage.commit(tmp_path).sha is None
    assert "is no git repository: `git init`" in caplog.text
    git(tmp_path, "init", "-q")
    assert lineage.commit(tmp_path).sha is None
    assert "there is no commit yet" in caplog.text


def test_a_folder_that_git_does_not_trust_is_refused_with_the_remedy(repository, monkeypatch):
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(VoxtwistError, match=r"config --global --add safe.directory .*project`"):
        lineage.commit(repository)


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
