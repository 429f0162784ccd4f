import compileall
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from voxtwist.errors import VoxtwistError
from voxtwist.vcs import changed_since, maker, md5, pipeline_md5, stale_stages


@pytest.fixture
def project(repository: Path) -> Path:
    """A DVC project with a stage that writes a file and a nested directory, not yet run."""
    dvc(repository, "init", "-q")
    (repository / "make.py").write_text(
        "from pathlib import Path\n"
        "Path('data/b').mkdir(parents=True)\n"
        "Path('data/b/ü.txt').write_text('two')\n"
        "Path('data/a.txt').write_text('one')\n"
        "Path('data/a-b.txt').write_text('three')\n"
        "Path('all.jsonl').write_text('{}')\n"
    )
    stage = {"cmd": "python make.py", "deps": ["make.py"], "outs": ["data", "all.jsonl"]}
    (repository / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"make": stage}}))
    return repository


def dvc(root: Path, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=root, check=True)


def test_hashes_are_those_of_dvc(project: Path, monkeypatch):
    dvc(project, "repro", "-q")
    stages = yaml.safe_load((project / "dvc.lock").read_text())["stages"]
    locked = {entry["path"]: entry["md5"] for entry in stages["make"]["outs"]}
    assert locked["data"].endswith(".dir")
    for path in ("data", "all.jsonl"):
        assert md5(project / path) == locked[path]

    (project / "all.jsonl").unlink()
    (project / "all.jsonl").write_text("changed by hand")
    assert pipeline_md5(project, "all.jsonl") != locked["all.jsonl"]
    monkeypatch.setenv("DVC_STAGE", "train")
    assert pipeline_md5(project, "all.jsonl") == locked["all.jsonl"]
    assert pipeline_md5(project, "make.py") == md5(project / "make.py")


def test_what_python_makes_of_code_is_no_change(project: Path):
    """A stage depends on folders of code, and whoever imports them writes bytecode into them."""
    shutil.copy(Path(__file__).parents[2] / ".dvcignore", project)
    (project / "src").mkdir()
    (project / "src/net.py").write_text("layers = 2")
    stages = yaml.safe_load((project / "dvc.yaml").read_text())
    stages["stages"]["make"]["deps"].append("src")
    (project / "dvc.yaml").write_text(yaml.safe_dump(stages))
    dvc(project, "repro", "-q")
    compileall.compile_dir(project / "src", quiet=1)
    assert list((project / "src/__pycache__").iterdir())
    assert stale_stages(project) == []
    assert changed_since(project, "make") == []
    (project / "src/net.py").write_text("layers = 3")
    assert changed_since(project, "make") == ["src (make)"]


def test_a_lock_that_is_only_half_renewed_is_not_believed(tmp_path: Path, monkeypatch):
    """While train runs, twist's new hash stands in the lock, and the old one below train."""
    (tmp_path / "start").write_text("new")
    for old, expected in (("a" * 32, md5(tmp_path / "start")), ("b" * 32, "b" * 32)):
        stages = {
            "twist": {"outs": [{"path": "start", "md5": "b" * 32}]},
            "train": {"deps": [{"path": "start", "md5": old}]},
        }
        (tmp_path / "dvc.lock").write_text(yaml.safe_dump({"stages": stages}))
        monkeypatch.setenv("DVC_STAGE", "train")
        assert pipeline_md5(tmp_path, "start") == expected


def test_a_missing_path_is_named(tmp_path: Path):
    with pytest.raises(VoxtwistError, match=r"splits is missing: run `dvc repro`"):
        md5(tmp_path / "splits")


@pytest.fixture
def two_stages(repository: Path) -> Path:
    """`data` then `train` with a setting, run; and a sweep, another pipeline, that never ran."""
    dvc(repository, "init", "-q")
    (repository / "params.yaml").write_text("lr: 1\n")
    (repository / "model.py").write_text("")
    for file, stages in (
        (
            "dvc.yaml",
            {
                "data": {"cmd": "echo 1 > split", "outs": ["split"], "deps": ["raw"]},
                "train": {
                    "cmd": "cat split model.py > sft && echo model >> sft",
                    "deps": ["model.py", "split"],
                    "params": ["lr"],
                    "outs": ["sft"],
                },
                "report": {"cmd": "cat sft > page", "deps": ["sft", "pages.py"], "outs": ["page"]},
            },
        ),
        ("sweep/dvc.yaml", {"sweep": {"cmd": "false", "deps": ["../split"], "outs": ["best"]}}),
    ):
        (repository / file).parent.mkdir(exist_ok=True)
        (repository / file).write_text(yaml.safe_dump({"stages": stages}))
    for name in ("raw", "pages.py"):
        (repository / name).write_text("")
    dvc(repository, "repro", "-q")
    return repository


def test_only_code_and_data_that_made_an_output_can_outdate_it(two_stages: Path):
    assert maker(two_stages, md5(two_stages / "sft")) == "train"
    assert maker(two_stages, "0" * 32) is None
    assert stale_stages(two_stages) == []

    (two_stages / "params.yaml").write_text("lr: 2\n")
    (two_stages / "pages.py").write_text("print()")
    assert stale_stages(two_stages) == ["train", "report"]
    (two_stages / "split").unlink()
    assert changed_since(two_stages, "train") == []

    (two_stages / "model.py").write_text("print()")
    (two_stages / "raw").write_text("more")
    assert set(changed_since(two_stages, "train")) == {"model.py (train)", "raw (data)"}


def test_a_changed_command_outdates_too(two_stages: Path):
    file = two_stages / "dvc.yaml"
    file.write_text(file.read_text().replace("echo model", "echo another"))
    assert changed_since(two_stages, "train") == ["command (train)"]
