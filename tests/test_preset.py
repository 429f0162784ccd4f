import shutil
from pathlib import Path

import pytest
import yaml

from voxtwist import params
from voxtwist.errors import VoxtwistError
from voxtwist.preset import apply_preset
from voxtwist.tracking.runs import flatten

ROOT = Path(__file__).parent.parent
PRESETS = sorted(path.stem for path in (ROOT / "presets").glob("*.yaml"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    (tmp_path / "presets").mkdir()
    shutil.copy(ROOT / "presets/embedded.yaml", tmp_path / "presets")
    return tmp_path


def lay(project: Path, text: str):
    (project / "presets/mine.yaml").write_text(text)
    return apply_preset("mine", project / "params.yaml", project / "presets")


def test_only_the_lines_of_changed_settings_change(project: Path):
    before = (project / "params.yaml").read_text().splitlines()
    changes = lay(project, "train: {max_steps: 12}\nevaluate_text:\n  suites: [trivia, mmlu]\n")
    after = (project / "params.yaml").read_text().splitlines()

    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert [new.split("#")[0].strip() for _, new in changed] == [
        "preset: mine",
        "max_steps: 12",
        "suites: [trivia, mmlu]",
    ]
    assert changes["train.max_steps"] == (None, 12)
    assert params.load(project / "params.yaml").train.max_steps == 12


def test_the_same_preset_again_changes_nothing(project: Path):
    lay(project, "train: {max_steps: 12, learning_rate: 1.0e-4}")
    file = project / "params.yaml"
    before = file.stat().st_mtime_ns, file.read_bytes()
    assert lay(project, "train: {max_steps: 12, learning_rate: 1.0e-4}") == {}
    assert (file.stat().st_mtime_ns, file.read_bytes()) == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train: {lerning_rate: 1}", r"mine.yaml: train.lerning_rate is not a setting of params"),
        ("train: {learning_rate: -1}", r"mine.yaml: train.learning_rate is -1: .*greater than 0"),
        ("train: 3", r"mine.yaml: train"),
        ("train: [", r"mine.yaml is not valid YAML"),
        ("- train", r"mine.yaml holds no settings"),
    ],
)
def test_a_wrong_preset_is_refused_and_leaves_params_alone(project, text, message):
    before = (project / "params.yaml").read_bytes()
    with pytest.raises(VoxtwistError, match=message):
        lay(project, text)
    assert (project / "params.yaml").read_bytes() == before
    assert {path.name for path in project.iterdir()} == {"params.yaml", "presets"}


def test_an_unknown_preset_is_answered_with_the_known_ones(project: Path):
    (project / "presets/debug.yaml").touch()
    with pytest.raises(VoxtwistError, match=r"no preset 'nope': .*presets holds debug, embedded"):
        apply_preset("nope", project / "params.yaml", project / "presets")


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid_and_the_default_one_takes_it_back(project: Path, name: str):
    file = project / "params.yaml"
    apply_preset("embedded", file, ROOT / "presets")
    default = file.read_bytes()
    apply_preset(name, file, ROOT / "presets")
    assert params.load(file).preset == name
    apply_preset("embedded", file, ROOT / "presets")
    assert file.read_bytes() == default


def test_the_data_may_lie_elsewhere(project: Path):
    file = project / "params.yaml"
    apply_preset("slam-omni", file, ROOT / "presets", raw="/elsewhere")
    assert params.load(file).data.raw == "/elsewhere"
    assert params.load(file).data.workers == 8  # what else the preset says of the data
    assert not apply_preset("slam-omni", file, ROOT / "presets", raw="/elsewhere")


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_the_same_whatever_the_file_held_before(project: Path, name: str):
    file = project / "params.yaml"
    apply_preset(name, file, ROOT / "presets")
    once = params.load(file)
    for before in PRESETS:
        apply_preset(before, file, ROOT / "presets")
        apply_preset(name, file, ROOT / "presets")
        assert params.load(file) == once


def test_the_default_lists_every_setting_and_the_others_what_differs(project: Path):
    def flat(name: str) -> dict:
        return flatten(yaml.safe_load((ROOT / f"presets/{name}.yaml").read_text()))

    default = flat("embedded")
    assert default.keys() == flatten(yaml.safe_load((ROOT / "params.yaml").read_text())).keys()
    for name in set(PRESETS) - {"embedded"}:
        assert not [key for key, value in flat(name).items() if default.get(key, "") == value]


def test_what_a_preset_extends_must_be_there(project: Path):
    with pytest.raises(VoxtwistError, match=r"mine.yaml: extends names 'nothing', which"):
        lay(project, "extends: nothing")


def test_slam_omni_is_the_original_experiment(project: Path):
    file = project / "params.yaml"
    apply_preset("slam-omni", file, ROOT / "presets")
    laid = params.load(file).model_dump()
    original = {
        "base": {"model": "Qwen/Qwen3-0.6B"},
        "codec": {"name": "cosyvoice", "n_codes": 4096, "frame_rate_hz": 50},
        "data": {"format": "v1.1", "eval_ratio": 0.15, "split_seed": 42},
        "train": {
            "epochs": 1, "learning_rate": 1e-4, "batch_tokens": 16_384, "log_steps": 10,
            "eval_steps": 1000, "save_steps": 1000, "freeze": "text_embeddings",
        },
    }  # fmt: skip
    for section, values in original.items():
        assert {name: laid[section][name] for name in values} == values
    assert {"mmlu", "mmlu_redux_generative"} <= set(laid["evaluate_text"]["suites"])


def test_the_first_format_is_an_overlay_of_slam_omni(project: Path):
    file = project / "params.yaml"
    apply_preset("slam-omni", file, ROOT / "presets")
    changes = apply_preset("slam-omni-v1", file, ROOT / "presets")
    assert changes.keys() == {"data.format", "preset"}
