"""A run's params, which MLflow holds as strings, back into params.yaml."""

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from voxtwist.preset import editable_yaml
from voxtwist.tracking.runs import flatten


def write_settings(file: Path, params: Mapping[str, str]) -> dict[str, tuple[Any, Any]]:
    """Set what differs from the run's params; comments and layout of the file stay.

    A param that the file does not have is left out: it was no setting.

    Returns:
        Of each change by dotted name: the old and the new value.
    """
    yaml = editable_yaml()
    values = yaml.load(file.read_text())
    changes = {}
    for name, old in flatten(values).items():
        text = params.get(name)
        if text is None or _same(old, text):
            continue
        new = _value(text, old)
        *sections, last = name.split(".")
        place = values
        for section in sections:
            place = place[section]
        place[last] = new
        changes[name] = old, new
    if changes:
        yaml.dump(values, file)
    return changes


def _same(value: Any, text: str) -> bool:
    """Whether MLflow's text says the value; a whole number may have been logged as a float."""
    if isinstance(value, bool | str | None):
        return str(value) == text
    return bool(_value(text, value) == value)


def _value(text: str, old: Any) -> Any:
    """What was logged as `text`; words stay words."""
    if isinstance(old, str) and text != "None":
        return text
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
