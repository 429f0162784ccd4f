import subprocess
import sys
from pathlib import Path

import pytest

from voxtwist.errors import VoxtwistError
from voxtwist.terminal import one_line_errors


def voxtwist(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "voxtwist", *arguments], cwd=cwd, capture_output=True, text=True
    )


def test_a_user_s_mistake_is_one_line_without_a_stack_trace(tmp_path: Path):
    done = voxtwist("preset", "nope", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == "error: there is no preset 'nope': presets holds none\n"


def test_markup_and_long_messages_stay_as_they_are(capsys):
    message = "labels [red] of row 3 " + "are wrong " * 30
    with pytest.raises(SystemExit, match="1"), one_line_errors():
        raise VoxtwistError(message)
    assert capsys.readouterr().err == f"error: {message}\n"


def test_help_needs_none_of_the_heavy_libraries():
    code = (
        "import sys, voxtwist.cli.main; "
        "print([m for m in ('torch', 'transformers', 'mlflow', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
