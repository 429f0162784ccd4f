"""What `ancestry` found, as a tree on the terminal: the model on top, raw data at the bottom."""

from datetime import datetime
from itertools import groupby
from typing import Any

from rich.text import Text
from rich.tree import Tree

from voxtwist.tracking.ancestry import names

SHOWN_FILES = 8
# Who is made of whom; the rest comes last.
MADE_OF = {"checkpoint": ["splits", "start"], "splits": ["train", "eval", "raw"]}
MADE_OF |= {"start": ["base", "codec"]}
TITLES = {
    "checkpoint": "checkpoint",
    "splits": "splits",
    "train": "training split",
    "eval": "evaluation split",
    "raw": "raw data",
    "start": "start: base model with the speech vocabulary",
    "base": "base model",
    "codec": "codec",
}


def model_tree(found: dict[str, Any]) -> Tree:
    """The tree of what `ancestry.of_model` returns."""
    run, data = found["run"], found["data"]
    head = names(found["versions"]) or "not registered"
    tree = Tree(Text(head, style="bold"))
    branch = tree.add(_run_line(run))
    waiting = dict(data)
    for name in ("checkpoint", *data):
        _add_data(branch, name, waiting)
    code = found["code"]
    dirty = ", with changes (lineage/work_tree.patch of the run)" if code["dirty"] else ""
    branch.add(f"code: commit {code['commit']}{dirty}")
    for title in ("dvc", "software", "hardware"):
        if found[title]:
            values = "  ".join(f"{name} {value}" for name, value in found[title].items())
            branch.add(Text(f"{title}: {values}"))
    _add_settings(branch.add("settings"), found["settings"])
    return tree


def data_tree(found: dict[str, Any]) -> Tree:
    """The tree of what `ancestry.of_data` returns."""
    tree = Tree(Text(f"data {found['md5']}", style="bold"))
    if not found["runs"] and not found["versions"]:
        tree.add("no run or version of this store used it")
    for run in found["runs"]:
        branch = tree.add(_run_line(run) + f", as {', '.join(run['used_as'])}")
        for version in found["versions"]:
            if version["run"] == run["id"]:
                branch.add(names([version]))
    known = {run["id"] for run in found["runs"]}
    for version in found["versions"]:
        if version["run"] not in known:
            tree.add(f"{names([version])}, as {', '.join(version['used_as'])}; its run is gone")
    return tree


def _add_data(above: Tree, name: str, waiting: dict[str, Any]) -> None:
    """Add one entry of `waiting` with what it is made of, taking them out of it."""
    entry = waiting.pop(name, None)
    branch = above if entry is None else above.add(_data_line(name, entry))
    for part in MADE_OF.get(name, []):
        _add_data(branch, part, waiting)
    if entry is not None and name == "raw":
        files = list(entry["files"].items())
        for path, digest in files[:SHOWN_FILES]:
            branch.add(Text(f"{path} {digest}", style="dim"))
        if len(files) > SHOWN_FILES:
            branch.add(Text(f"and {len(files) - SHOWN_FILES} files (--json lists them)", "dim"))


def _add_settings(branch: Tree, settings: dict[str, str]) -> None:
    """A line for every section of params.yaml."""
    for section, group in groupby(settings, key=lambda name: name.partition(".")[0]):
        values = ", ".join(f"{name.partition('.')[2]} {settings[name]}".strip() for name in group)
        branch.add(Text(f"{section}: {values}"))


def _data_line(name: str, entry: dict[str, Any]) -> Text:
    where = f"in the {entry['where']}" if entry["where"] else "found nowhere"
    path = f"{entry['path']} " if entry["path"] else ""
    return Text.assemble(
        f"{TITLES.get(name, name)}: {path}{entry['md5']} ",
        (f"({where})", "dim" if entry["where"] else "bold red"),
    )


def _run_line(run: dict[str, Any]) -> Text:
    started = datetime.fromtimestamp(run["started"] / 1000).strftime("%Y-%m-%d %H:%M")
    links = "".join(
        f", {title} {run[name]}"
        for name, title in (
            ("parent", "below"),
            ("recreates", "recreates"),
            ("restored_from", "stands in for"),
        )
        if name in run
    )
    return Text(f"run {run['id']} {run['name']!r} {run['status']} {started}{links}")
