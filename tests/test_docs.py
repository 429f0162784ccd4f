"""What the documentation says can be typed: commands, options and messages exist as written."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
import typer
import yaml
from dvc.cli import parse_args
from typer.testing import CliRunner

from voxtwist.cli.main import app

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES = [page for page in PAGES if page.name != "cli.md"]  # that is generated, and not kept
PROGRAMS = ("voxtwist", "make", "dvc")
# What no machine without a GPU, the hub or a cluster can run, and the mark that says so.
ELSEWHERE = re.compile(
    r"vllm serve|--multi_gpu|--use_fsdp|hf download|PRESET=slam-omni|Qwen/|apptainer"
)
MARK = re.compile(r"#.*\bneeds (a GPU|GPUs|the hub|Apptainer)")


class Line(NamedTuple):
    page: str
    number: int
    text: str


def block_lines() -> Iterator[Line]:
    """The lines of code blocks, fenced and indented; one that ends in a backslash is joined."""
    for page in PAGES:
        fenced, joined, before = False, "", ""
        for number, line in enumerate(page.read_text().splitlines(), start=1):
            if line.startswith("```"):
                fenced = not fenced
                continue
            indented = line.startswith("    ") and (before == "" or before.startswith("    "))
            before = line
            if not (fenced or indented):
                continue
            joined += line.strip()
            if joined.endswith("\\"):
                joined = joined[:-1]
                continue
            yield Line(page.name, number, joined)
            joined = ""


def commands() -> list[tuple[Line, list[str]]]:
    """The calls of our commands, make and DVC in those lines, as words without the comment."""
    found = []
    for line in block_lines():
        lexer = shlex.shlex(line.text, posix=True, punctuation_chars="|&;")
        lexer.whitespace_split, lexer.commenters = True, "#"
        try:
            words = list(lexer)
        except ValueError:  # prose or data with a lone quote
            continue
        ends = [i for i, word in enumerate(words) if set(word) <= set("|&;")]
        for start, end in pairwise([-1, *ends, len(words)]):
            call = words[start + 1 : end]
            while call and re.fullmatch(r"[A-Z_0-9]+=.*", call[0]):
                call = call[1:]
            if len(call) > 1 and call[0] in PROGRAMS:
                found.append((line, call))
    return found


COMMANDS = commands()


def named(command: tuple[Line, list[str]]) -> str:
    line, call = command
    return f"{line.page}:{line.number} {call[0]} {call[1]}"


def of(program: str) -> object:
    chosen = [command for command in COMMANDS if command[1][0] == program]
    return pytest.mark.parametrize("command", chosen, ids=map(named, chosen))


@of("voxtwist")
def test_a_voxtwist_command_is_one_with_these_options(command):
    line, (_, *arguments) = command
    here = typer.main.get_command(app)
    while hasattr(here, "commands"):
        assert arguments[0] in here.commands, line
        here = here.commands[arguments.pop(0)]
    if here.name == "lm-eval":  # lm-eval's own options
        return
    options = {name for option in here.params for name in (*option.opts, *option.secondary_opts)}
    given = {word.partition("=")[0] for word in arguments if word.startswith("-")}
    assert given <= options | {"-h", "--help"}, line
    if "…" not in line.text and "--help" not in given:
        here.make_context(here.name, arguments)  # raises where one is missing, or of a wrong type


@of("make")
def test_a_make_target_and_its_variables_exist(command):
    line, (_, *words) = command
    makefile = (ROOT / "Makefile").read_text()
    [phony] = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    for word in words:
        name, equals, _ = word.partition("=")
        assert name in (re.findall(r"^(\w+) \?=", makefile, re.M) if equals else phony.split()), (
            line
        )


@of("dvc")
def test_a_dvc_command_has_these_options_and_stages(command):
    line, (_, *words) = command
    asked = parse_args(words)  # raises at what DVC does not know
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    for target in getattr(asked, "targets", None) or []:
        assert target in stages or (ROOT / target).is_file(), line


def test_what_cannot_run_here_is_marked():
    every = list(block_lines())
    elsewhere = [line for line in every if ELSEWHERE.search(line.text)]
    unmarked = [line for line in elsewhere if not MARK.search(line.text)]
    assert not unmarked, unmarked
    assert any(MARK.search(line.text) for line in every)


def test_the_pages_have_commands_of_each_program():
    assert {call[0] for _, call in COMMANDS} == set(PROGRAMS)
    assert len({line.page for line, _ in COMMANDS}) > 8


@pytest.mark.parametrize("command", ["convert", "tokenize", "speak"])
def test_help_is_shown_as_the_readme_says(command):
    assert any(call == ["voxtwist", command, "--help"] for _, call in COMMANDS)
    done = CliRunner().invoke(app, [command, "--help"])
    assert done.exit_code == 0
    assert "Usage" in done.output


def test_the_command_reference_can_be_generated(tmp_path):
    makefile = (ROOT / "Makefile").read_text()
    [recipe] = re.findall(r"@python (-m typer .*) --output docs/cli.md", makefile)
    subprocess.run(
        [sys.executable, *shlex.split(recipe), "--output", "cli.md"], cwd=tmp_path, check=True
    )
    page = (tmp_path / "cli.md").read_text()
    for command in typer.main.get_command(app).commands:
        assert f"## `voxtwist {command}`" in page


def test_every_message_of_the_troubleshooting_page_is_one_that_the_code_prints():
    code = "\n".join(source.read_text() for source in (ROOT / "src").rglob("*.py"))
    code = re.sub(r"[\"']\s*\n\s*f?[\"']", "", code)  # a message in several literals is one
    code = re.sub(r"\{[^{}]*\}", "…", code).replace("`", "")
    code += (ROOT / "Makefile").read_text()
    page = (ROOT / "docs/troubleshooting.md").read_text()
    theirs = ("dvc pull", "sweep/…", "Unable to acquire lock", "dvc repro", "git.dirty")
    for row in re.findall(r"^\| (.*?) \|", page, re.MULTILINE):
        for message in re.findall(r"`([^`]+)`", row):
            for part in message.split("…"):
                words = part.strip(" :;,()")
                if len(words) > 7 and message not in theirs:
                    assert words in code, message


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        assert target.startswith("http") or (page.parent / target).exists(), target
