"""Presets: small YAML files that list what differs from the default, `presets/embedded.yaml`.

They are written into params.yaml, whose comments and layout stay.
"""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError
from ruamel.yaml.representer import RoundTripRepresenter, ScalarNode

from voxtwist import params
from voxtwist.errors import VoxtwistError
from voxtwist.files import read_text, yaml_reason

DEFAULT = "embedded"  # the preset that lists every setting


def apply_preset(
    name: str, params_file: Path, folder: Path, raw: str | None = None
) -> dict[str, tuple[Any, Any]]:
    """Make `params_file` hold the default settings with `folder`/`name`.yaml laid over them.

    So a preset is the same whatever the file held before. A preset may name another one in
    `extends`, which then stands in the default's place.

    Args:
        raw: `data.raw` instead of the preset's: the data lie elsewhere on every machine.

    Returns:
        What changed: dotted name to (old, new) value. Nothing changed, nothing is written.

    Raises:
        VoxtwistError: there is no such preset, it holds a setting that params.yaml does not, or
            the result is not valid; params.yaml is then untouched.
    """
    file = folder / f"{name}.yaml"
    if not file.exists():
        known = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
        raise VoxtwistError(f"there is no preset {name!r}: {folder} holds {known or 'none'}")
    values = _with_what_it_extends(file)
    values["preset"] = name
    if raw is not None:
        values.setdefault("data", {})["raw"] = raw
    return _lay(values, file, params_file)


def _with_what_it_extends(file: Path) -> CommentedMap:
    values = _read(file)
    below = values.pop("extends", DEFAULT)
    if file.stem == DEFAULT:
        return values
    if not (file.parent / f"{below}.yaml").exists():
        raise VoxtwistError(f"{file}: extends names {below!r}, which {file.parent} does not hold")
    return _merged(_with_what_it_extends(file.parent / f"{below}.yaml"), values)


def _merged(below: CommentedMap, above: CommentedMap) -> CommentedMap:
    """`above` over `below`, section by section."""
    for key, value in above.items():
        both = isinstance(value, CommentedMap) and isinstance(below.get(key), CommentedMap)
        below[key] = _merged(below[key], value) if both else value
    return below


def apply_overlay(file: Path, params_file: Path) -> dict[str, tuple[Any, Any]]:
    """Lay the settings of a YAML file over `params_file`; see `apply_preset`."""
    return _lay(_read(file), file, params_file)


def _lay(values: CommentedMap, file: Path, params_file: Path) -> dict[str, tuple[Any, Any]]:
    settings = _read(params_file)
    changes = _overlay(settings, values, file, params_file)
    if changes:
        _write_valid(settings, params_file, file)
    return changes


def _overlay(
    settings: CommentedMap, preset: dict[str, Any], file: Path, params_file: Path, prefix: str = ""
) -> dict[str, tuple[Any, Any]]:
    changes: dict[str, tuple[Any, Any]] = {}
    for key, value in preset.items():
        name = f"{prefix}{key}"
        if key not in settings:
            raise VoxtwistError(
                f"{file}: {name} is not a setting of {params_file.name}: check its spelling"
            )
        if isinstance(value, dict) and isinstance(settings[key], dict):
            changes |= _overlay(settings[key], value, file, params_file, f"{name}.")
        elif settings[key] != value:
            changes[name] = (settings[key], value)
            settings[key] = value
    return changes


def _write_valid(settings: CommentedMap, params_file: Path, preset: Path) -> None:
    draft = params_file.with_suffix(".draft")
    try:
        editable_yaml().dump(settings, draft)
        params.load(draft)
        draft.replace(params_file)
    except VoxtwistError as error:
        raise VoxtwistError(str(error).replace(str(draft), str(preset))) from None
    finally:
        draft.unlink(missing_ok=True)


def _read(file: Path) -> CommentedMap:
    try:
        values = editable_yaml().load(read_text(file))
    except FileNotFoundError:
        raise VoxtwistError(f"{file} is missing: run from the root of the project") from None
    except YAMLError as error:
        raise VoxtwistError(f"{file} is not valid YAML: {yaml_reason(error)}") from None
    if values is None:
        return CommentedMap()
    if not isinstance(values, CommentedMap):
        raise VoxtwistError(f"{file} holds no settings: it must be a YAML mapping")
    return values


def editable_yaml() -> YAML:
    """Reads and writes params.yaml with its comments and layout."""
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096  # never fold a line
    yaml.Representer = _Representer
    return yaml


class _Representer(RoundTripRepresenter):
    """Writes `null`, where ruamel leaves the value out, and `3.0e-05`, where it writes `3e-05`.

    The latter is a string to PyYAML and DVC.
    """

    def represent_none(self, _data: None) -> ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:null", "null")

    def represent_float(self, data: float) -> ScalarNode:
        text = repr(data)
        if "e" in text and "." not in text:
            return self.represent_scalar("tag:yaml.org,2002:float", text.replace("e", ".0e"))
        return super().represent_float(data)


_Representer.add_representer(type(None), _Representer.represent_none)
_Representer.add_representer(float, _Representer.represent_float)
