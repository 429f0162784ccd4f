"""Small text files: settings read, results written."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from voxtwist.errors import VoxtwistError


def write_json(values: Mapping[str, Any], file: Path) -> None:
    """Write a JSON object, two spaces an indent, making the folder."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def read_text(file: Path) -> str:
    """A file of UTF-8 text, whose byte order mark, if it has one, is no part of it.

    Raises:
        VoxtwistError: it is not UTF-8; the message names the line.
        FileNotFoundError: it is missing.
    """
    data = file.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise VoxtwistError(f"{file}: line {line} is not UTF-8: save the file as UTF-8") from None


def yaml_reason(error: Exception) -> str:
    """What PyYAML or ruamel say of a text that is no YAML, with line and column, in one line."""
    return " ".join(str(error).split()).replace('in "<unicode string>", ', "at ")
