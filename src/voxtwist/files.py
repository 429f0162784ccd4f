"""Small result files."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_json(values: Mapping[str, Any], file: Path) -> None:
    """Write a JSON object, two spaces an indent, making the folder."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(values, indent=2) + "\n")
