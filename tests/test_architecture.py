"""The house as docs/architecture.md draws it: layers, arrows and paths are those of the imports."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "voxtwist"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
ROOMS = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)  # top to bottom
# Code that a stage imports and that cannot change what the stage writes: where results are logged,
# and names of files.
HARMLESS = ("tracking/", "stages/model_run.py", "stages/script.py", "data/files.py")
# What a stage imports and does not run. `convert` and `split` import types of the codec's. `split`
# reads questions, of benchmarks too, and no ids. `twist` reads the codec's files, which are a
# dependency. `train` asks `model/twist.py` only for a probability. `report` and `summary` show
# what others measured.
UNREAD = {
    "convert": ("codec/base.py",),
    "split": ("codec/", "vocabulary/", "evaluation/statistics.py", "evaluation/text/table.py"),
    "twist": ("codec/",),
    "train": ("codec/",),
    "summary": ("codec/", "data/", "evaluation/", "vocabulary/"),
    "report": ("codec/", "data/", "evaluation/", "inference/", "model/", "vocabulary/"),
}


@cache
def imports(file: Path) -> frozenset[Path]:
    """The files of this package that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("voxtwist"):
            module = ROOT / "src" / (node.module or "").replace(".", "/")
            for name in node.names:
                places = (module / f"{name.name}.py", module.with_suffix(".py"))
                found.add(next((p for p in places if p.exists()), module / "__init__.py"))
        elif isinstance(node, ast.Import):
            names = (name.name for name in node.names if name.name.startswith("voxtwist."))
            found |= {ROOT / "src" / f"{name.replace('.', '/')}.py" for name in names}
    return frozenset(found)


def reached(file: Path) -> set[Path]:
    seen: set[Path] = set()
    waiting = [file]
    while waiting:
        new = imports(waiting.pop()) - seen
        seen |= new
        waiting += new
    return seen


def used() -> dict[str, set[str]]:
    """Rooms, and single modules below them, by the room that uses them."""
    found: dict[str, set[str]] = {room: set() for room in ROOMS}
    for file in SOURCE.rglob("*.py"):
        names = {name_of(imported) for imported in imports(file)}
        found.setdefault(name_of(file), set()).update(names - {name_of(file)})
    return found


def name_of(file: Path) -> str:
    return file.relative_to(SOURCE).parts[0].removesuffix(".py")


def test_the_page_names_every_room_and_module():
    folders = {file.parent.name for file in SOURCE.glob("*/__init__.py")}
    assert sorted(ROOMS) == sorted(folders)
    paragraph = PAGE[PAGE.index("Below the rooms") : PAGE.index("An arrow")]
    modules = {file.stem for file in SOURCE.glob("*.py")} - {"__init__", "__main__"}
    assert set(re.findall(r"`(\w+)`", paragraph)) == modules


def test_a_room_uses_only_what_is_below_it():
    uses = used()
    upwards = [
        (room, other)
        for place, room in enumerate(ROOMS)
        for other in uses[room]
        if other in ROOMS[: place + 1]
    ]
    assert not upwards
    modules = uses.keys() - set(ROOMS) - {"__main__", "__init__"}
    assert not [
        (module, uses[module] & set(ROOMS)) for module in modules if uses[module] & {*ROOMS}
    ]


def test_the_picture_has_the_arrows_of_the_imports():
    drawn = {}
    for line in PAGE[PAGE.index("flowchart") : PAGE.index("```\n\n`training`")].splitlines()[1:]:
        room, targets = line.split(" --> ")
        drawn[room.strip()] = set(targets.split(" & "))
    uses = {room: others & set(ROOMS) for room, others in used().items() if room in ROOMS}

    def below(room: str) -> set[str]:
        return uses[room].union(*(below(other) for other in uses[room]))

    direct = {
        room: {o for o in others if not any(o in below(p) for p in others - {o})}
        for room, others in uses.items()
    }
    assert drawn == {room: others for room, others in direct.items() if others}


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`([a-z_/]+\.py)`", PAGE))))
def test_the_files_on_the_two_ways_exist(name):
    assert (SOURCE / name).exists() or (ROOT / name).exists() or name == "statistics.py"


def test_training_and_evaluation_know_no_mlflow():
    for room in ("training", "evaluation"):
        for file in (SOURCE / room).rglob("*.py"):
            assert not re.search(r"^\s*(from|import) mlflow", file.read_text("utf-8"), re.M), file
        assert "tracking" not in used()[room]


STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_the_code_that_it_reads(stage):
    script = ROOT / STAGES[stage]["cmd"].split()[1]
    named = [dep for dep in STAGES[stage]["deps"] if dep.startswith("src/")]
    left_out = (*HARMLESS, *UNREAD.get(stage, ()))
    for file in sorted(reached(script)):
        own = file.relative_to(SOURCE).as_posix()
        covered = any(f"src/voxtwist/{own}".startswith(dep) for dep in named)
        assert covered or "/" not in own or own.startswith(left_out), f"{stage} reads {own}"
    for dep in named:
        assert (ROOT / dep).exists(), dep


def test_a_page_s_colour_makes_only_the_report_again():
    shown = {name for name, stage in STAGES.items() if "src/voxtwist/pages" in str(stage["deps"])}
    assert shown == {"report"}
