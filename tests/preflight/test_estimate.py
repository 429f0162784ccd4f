"""`voxtwist estimate` and the page that shows what it prints."""

import json
import re
import shutil
from decimal import Decimal
from pathlib import Path

from typer.testing import CliRunner

from voxtwist.cli.main import app
from voxtwist.preset import apply_preset

ROOT = Path(__file__).parents[2]
COLUMNS = ("tokens", "flops", "hours", "memory_gb", "dollars")
UNITS = {"": 1, "M": 1e6, "G": 1e9}


def table_of_the_page() -> dict[str, list[str]]:
    """Row name -> cells of the first table of docs/scale.md."""
    table = re.search(r"(?:^\|.*\n)+", (ROOT / "docs/scale.md").read_text(), re.MULTILINE)[0]
    _, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines())
    return {name.replace("×", "x"): cells for name, *cells in rows}


def test_the_page_shows_what_the_command_prints_for_slam_omni(tmp_path):
    file = tmp_path / "params.yaml"
    shutil.copy(ROOT / "params.yaml", file)
    apply_preset("slam-omni", file, ROOT / "presets")
    command = ["estimate", "--json", "--no-measure", "--params", str(file)]
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    printed, shown = json.loads(done.output), table_of_the_page()
    assert printed.keys() == shown.keys()
    for name, cells in shown.items():
        for column, cell in zip(COLUMNS, cells, strict=True):
            number, _, unit = cell.replace(",", "").partition(" ")
            exact = Decimal(printed[name][column] / UNITS[unit])
            # Rounded to as many places as the page has.
            assert exact.quantize(Decimal(number)) == Decimal(number), (name, column)
