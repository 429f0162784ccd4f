"""params.yaml is validated, and every preset is valid over it."""

from pathlib import Path

import pytest
import yaml

from voxtwist import params
from voxtwist.errors import VoxtwistError
from voxtwist.preset import apply_preset

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "params.yaml").read_text()


def load(tmp_path, old, new):
    assert old in TEXT
    file = tmp_path / "params.yaml"
    file.write_text(TEXT.replace(old, new, 1))
    return params.load(file)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("max_grad_norm: 1.0", "max_grad_norm: -1", r"train.max_grad_norm is -1: .* than 0"),
        ("eval_ratio:", "eval_ration:", "data.eval_ration is not a setting"),
        ("format: v1.1", "format: v2", "data.format is 'v2'.*'v1' or 'v1.1'"),
        ("freeze: ", "freeze: some  # ", "train.freeze is 'some'"),
        ("suites: [trivia]", "suites: []", "at least one suite"),
        ("max_grad_norm: 1.0", "max_grad_norm: .inf", "train.max_grad_norm is inf: .* finite"),
        ("  model: voxtwist", "  model: me/voxtwist", "tracking.model is 'me/voxtwist'"),
        ("restrict_speech: 1.0", "restrict_speech: 1.5", r"train.restrict_speech is 1\.5"),
    ],
)  # fmt: skip
def test_wrong_settings_are_named_with_what_is_allowed(tmp_path, old, new, message):
    with pytest.raises(VoxtwistError, match=message):
        load(tmp_path, old, new)


def test_a_missing_or_broken_file_is_one_clear_error(tmp_path):
    with pytest.raises(VoxtwistError, match="is missing: run from the root"):
        params.load(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("a: [")
    with pytest.raises(VoxtwistError, match=r"params.yaml is not valid YAML: .* line 1") as caught:
        params.load(tmp_path / "params.yaml")
    assert "\n" not in str(caught.value)
    (tmp_path / "params.yaml").write_bytes(b"seed: 1\n# caf\xe9\n")
    with pytest.raises(VoxtwistError, match=r"params.yaml: line 2 is not UTF-8"):
        params.load(tmp_path / "params.yaml")


def test_a_byte_order_mark_is_no_part_of_the_settings(tmp_path):
    file = tmp_path / "params.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    assert params.load(file) == params.load(ROOT / "params.yaml")


def test_speech_that_never_ends_is_refused(tmp_path):
    with pytest.raises(VoxtwistError, match=r"restrict_speech is 1, which needs data.format v1\.1"):
        load(tmp_path, "format: v1.1", "format: v1")
    text = TEXT.replace("format: v1.1", "format: v1").replace("speech: 1.0", "speech: 0.9")
    (tmp_path / "params.yaml").write_text(text)
    assert params.load(tmp_path / "params.yaml").train.restrict_speech == 0.9


@pytest.mark.parametrize("preset", sorted((ROOT / "presets").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_preset_is_valid_and_embedded_undoes_it(tmp_path, preset):
    file = tmp_path / "params.yaml"
    file.write_text(TEXT)
    before = yaml.safe_load(TEXT)
    apply_preset(preset.stem, file, ROOT / "presets")
    assert params.load(file).preset == preset.stem
    apply_preset("embedded", file, ROOT / "presets")
    assert yaml.safe_load(file.read_text()) == before
