"""How a recreation writes settings and judges differences; tests/lineage recreates for real."""

import math
from pathlib import Path

import pytest
import yaml
from mlflow.entities import Metric

from voxtwist.errors import VoxtwistError
from voxtwist.tracking.recreation.comparison import Tolerance, compare_runs
from voxtwist.tracking.recreation.worktree import write_settings
from voxtwist.tracking.runs import flatten
from voxtwist.tracking.store import Store

ROOT = Path(__file__).parents[2]


def logged(values: dict) -> dict[str, str]:
    return {name: str(value) for name, value in flatten(values).items()}


def test_settings_come_back_out_of_strings_and_comments_stay(tmp_path: Path):
    file = tmp_path / "params.yaml"
    file.write_text((ROOT / "params.yaml").read_text())
    wanted = yaml.safe_load(file.read_text())
    rate = wanted["train"]["learning_rate"]
    wanted["train"] |= {
        "learning_rate": 3e-5, "max_steps": 7, "freeze": "lora:8", "restrict_speech": 0.0,
    }  # fmt: skip
    wanted["base"]["revision"] = "main"
    wanted["evaluate_text"]["suites"] = ["trivia", "mmlu"]
    wanted["codec"]["speaker"] = None
    changes = write_settings(file, logged(wanted) | {"gone.setting": "1"})
    assert yaml.safe_load(file.read_text()) == wanted
    assert changes["train.learning_rate"] == (rate, 3e-5)
    assert len(changes) == 6
    assert "# The one source of settings." in file.read_text()


def test_settings_that_are_the_same_leave_the_file_as_it_is(tmp_path: Path):
    file = tmp_path / "params.yaml"
    text = (ROOT / "params.yaml").read_text()
    file.write_text(text)
    same = logged(yaml.safe_load(text))
    same["train.max_grad_norm"] = "1.0"
    same["corpus.codec_minutes"] = "50.0"  # as typed settings have it
    assert write_settings(file, same) == {}
    assert file.read_text() == text


def run_with(store: Store, version: str, **metrics: float):
    run = store.client.create_run(store.experiment_id, tags={"version.torch": version})
    rows = [Metric(name.replace("__", "/"), value, 0, 0) for name, value in metrics.items()]
    store.client.log_batch(run.info.run_id, rows)
    return store.client.get_run(run.info.run_id)


def test_figures_within_and_beyond_the_tolerance(store: Store):
    first = run_with(store, "2.14", eval__loss=2.0, speech__wer=0.40, train__tokens_per_second=1.0)
    second = run_with(store, "2.15", eval__loss=2.1, speech__wer=0.41, train__tokens_per_second=9)

    def verdict(*texts: str, checkpoint=("a" * 32, "b" * 32)) -> str:
        return compare_runs(first, second, checkpoint, Tolerance.parse(texts)).verdict

    assert verdict() == "different"
    assert verdict("0.2") == "within tolerance"
    assert verdict("eval/=0.2") == "within tolerance"
    assert verdict("0.2", "eval/loss=0.01") == "different"
    assert verdict(checkpoint=("a" * 32, "a" * 32)) == "identical"
    found = compare_runs(first, second, (None, "b" * 32), Tolerance.parse([]))
    assert [d.metric for d in found.metrics] == ["eval/loss", "speech/wer"]
    assert found.environment == {"version.torch": ("2.14", "2.15")}


def test_without_figures_other_bytes_are_another_model(store: Store):
    first, second = run_with(store, "2.14"), run_with(store, "2.14")
    assert (
        compare_runs(first, second, (None, "b" * 32), Tolerance.parse(["9"])).verdict == "different"
    )


@pytest.mark.parametrize("text", ["much", "-1", "eval/loss=", "nan"])
def test_a_tolerance_is_a_number(text: str):
    with pytest.raises(VoxtwistError, match=r"give 0.05, or eval/loss=0.1"):
        Tolerance.parse([text])


def test_infinity_accepts_everything():
    assert Tolerance.parse(["inf"])("eval/loss") == math.inf
