"""Before a long run: what is missing is named with how to get it; estimates follow from counts."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml

from voxtwist import params
from voxtwist.data.convert import convert
from voxtwist.data.part import ConvertSettings
from voxtwist.evaluation.text.suites import load_suites
from voxtwist.params import Params
from voxtwist.preflight import checks
from voxtwist.preflight.estimate import estimate, h100, sample_flops, split_shape, voice_assistant
from voxtwist.preflight.hours import sample_raw, text_hours
from voxtwist.preflight.model_size import model_size
from voxtwist.preflight.preflight import preflight
from voxtwist.vocabulary import ChatFormat, extend_tokenizer

ROOT = Path(__file__).parents[2]


@pytest.fixture
def settings(overlay, stand_ins):
    """The preset slam-omni with the stand-ins, and changes by section."""

    def make(**changes: dict[str, object]) -> Params:
        values = yaml.safe_load((ROOT / "params.yaml").read_text())
        for layer in (
            yaml.safe_load((ROOT / "presets/slam-omni.yaml").read_text()), overlay,
            {"data": {"raw": str(stand_ins / "data")}}, changes,
        ):  # fmt: skip
            for section, entries in layer.items():
                if isinstance(entries, dict):
                    values[section] |= entries
        return Params(**values)

    return make


def test_stand_ins_are_found_and_missing_shards_counted(settings):
    data = checks.check_data(settings())
    assert (data.state, data.found) == ("warning", "3 of 853 shards, 3 looked into")
    assert checks.check_base(settings()).state == "ok"
    assert checks.check_codec(settings()).state == "ok"
    suites = checks.check_suites(settings())
    assert "mmlu_abstract_algebra (3 questions)" in suites.found


@pytest.mark.parametrize(
    ("check", "changes", "mend"),
    [
        ("check_base", {"base": {"model": "Qwen/none"}}, "`hf download Qwen/none --local-dir"),
        ("check_codec", {"codec": {"path": "nowhere"}}, "hf download FunAudioLLM/CosyVoice"),
        ("check_codec", {"codec": {"speaker": "nobody"}}, "codec.speaker: 英文女"),
        ("check_codec", {"codec": {"n_codes": 64}}, "set codec.n_codes: 4096"),
        ("check_codec", {"codec": {"frame_rate_hz": 25}}, "set codec.frame_rate_hz: 50"),
        ("check_codec", {"codec": {"prompt_audio": "a.wav"}}, "codec.prompt_audio"),
    ],
)
def test_what_is_missing_is_named_with_how_to_get_it(settings, check, changes, mend):
    found = getattr(checks, check)(settings(**changes))
    assert found.state == "missing"
    assert mend in found.mend


def test_a_base_that_the_first_stage_would_refuse_is_found_before_the_run(
    settings, tiny_base, tmp_path
):
    base = Path(shutil.copytree(tiny_base, tmp_path / "base"))
    assert checks.check_base(settings(base={"model": str(base)})).state == "ok"
    (base / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    inputs = checks.check_inputs(settings(base={"model": str(base)}))
    found = next(check for check in inputs if check.name == "base model")
    assert found.state == "missing"
    assert "is a Git-LFS pointer" in found.mend


def test_a_wrong_schema_or_code_is_found_before_the_run(settings, stand_ins, tmp_path):
    table = pq.read_table(stand_ins / "data/train-00000-of-00853.parquet")
    changed = table.drop_columns(["answer_cosyvoice_speech_token"])
    pq.write_table(changed, tmp_path / "train-00000-of-00001.parquet")
    wrong = settings(data={"raw": str(tmp_path)})
    found = next(check for check in checks.check_inputs(wrong) if check.name == "raw data")
    assert found.state == "missing"
    assert "no column 'answer_cosyvoice_speech_token'" in found.mend
    few = checks.check_data(settings(codec={"n_codes": 64}))
    assert few.state == "missing"
    assert "code out of range" in few.mend


@pytest.mark.parametrize("spoilt", [0, 1, 2])
def test_one_spoilt_shard_of_three_is_found(settings, stand_ins, tmp_path, spoilt):
    shutil.copytree(stand_ins / "data", tmp_path, dirs_exist_ok=True)
    shard = tmp_path / f"train-{spoilt:05d}-of-00853.parquet"
    pq.write_table(pq.read_table(shard).drop_columns(["answer"]), shard)
    raw, *_ = checks.check_inputs(settings(data={"raw": str(tmp_path)}))
    assert raw.state == "missing"
    assert f"{shard} has no column 'answer'" in raw.mend


def test_benchmark_questions_in_the_raw_data_are_named(settings, stand_ins, tmp_path):
    assert checks.check_benchmarks(settings()).found == "none of 9 questions is in the raw data"
    shard = "train-00000-of-00853.parquet"
    table = pq.read_table(stand_ins / "data" / shard)
    column = ["<USER>: which is 2", *table["question"].to_pylist()[1:]]
    place = table.schema.get_field_index("question")
    pq.write_table(table.set_column(place, "question", pa.array(column)), tmp_path / shard)
    found = checks.check_benchmarks(settings(data={"raw": str(tmp_path)}))
    assert found.state == "warning"
    assert found.found.startswith("1 of 3 questions of mmlu_abstract_algebra are in the training")
    assert found.found.count("'Which is 2?'") == 3
    *_, unread = checks.check_inputs(settings(data={"raw": str(tmp_path / "none")}))
    assert (unread.name, unread.found) == ("benchmarks", "not compared with the data")


@pytest.fixture
def look(settings, tmp_path, monkeypatch):
    """The checks of a machine without a GPU, of so many GB, for the preset's real sizes."""

    def checked(memory: int, disk: int, base: str = "Qwen/Qwen3-0.6B") -> dict[str, checks.Check]:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=memory * 1e9))
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=disk * 1e9))
        real = settings(
            base={"model": base},
            data={"raw": str(tmp_path / "none")},
            train={"batch_tokens": 16_384, "precision": "fp32"},  # auto times both
        )
        return {check.name: check for check in preflight(real, tmp_path, probe_seconds=0).checks}

    return checked


def test_too_little_memory_or_disk_counts_as_missing(look):
    much, little = look(memory=80, disk=100), look(memory=30, disk=10)
    assert (much["memory"].state, much["disk"].state) == ("ok", "ok")
    assert (little["memory"].state, little["disk"].state) == ("missing", "missing")
    assert little["memory"].found.endswith(" GB needed of 30 GB")
    assert "lower train.batch_tokens" in little["memory"].mend
    assert "make room" in little["disk"].mend


def test_without_a_gpu_slam_omni_is_warned_of_and_the_embedded_default_is_not(look):
    device = look(memory=80, disk=100)["device"]
    assert (device.state, device.mend) == ("warning", "no GPU: see the hours below")
    assert look(memory=80, disk=100, base="embedded")["device"].state == "ok"


def test_the_shape_of_the_data_is_read_off_the_first_rows(settings):
    raw = sample_raw(settings())
    assert raw.rows == 36
    assert raw.data.speech == 80
    assert raw.data.samples == round(36 * 0.85)
    assert raw.data.tokens == raw.data.prompt + raw.data.text + raw.data.speech


def test_qwen3_is_counted_as_published(settings):
    real = settings(base={"model": "Qwen/Qwen3-0.6B"})
    size = model_size(real)
    assert size.layers == 440_466_432  # 0.6 B with the table, 0.44 B without
    assert size.text_rows == 151_669 * 1024
    assert size.new_rows == (155_776 - 151_669) * 1024
    assert size.learning == size.layers + size.new_rows + 1024  # the last norm, too


def test_more_devices_take_less_time_and_frozen_rows_less_work(settings):
    real = settings(base={"model": "Qwen/Qwen3-0.6B"}, train={"batch_tokens": 16_384})
    size, train = model_size(real), real.train
    data = voice_assistant(50)
    one, eight = (estimate(size, data, train, h100(n)) for n in (1, 8))
    assert one.hours == pytest.approx(8 * eight.hours)
    assert one.tokens == pytest.approx(328e6, rel=0.01)
    # 6 operations a weight and token, and the head at labels only: within a fifth of 6 N D.
    assert one.flops == pytest.approx(6 * size.weights * one.tokens, rel=0.2)
    free = real.model_copy(update={"train": train.model_copy(update={"freeze": "none"})})
    more = model_size(free)
    assert sample_flops(more, data, free.train) > sample_flops(size, data, train)
    assert estimate(more, data, free.train, h100(1)).memory_gb > one.memory_gb
    restricted = train.model_copy(update={"restrict_speech": 1.0})
    assert estimate(size, data, restricted, h100(1)).flops < one.flops


def test_half_the_frame_rate_is_half_the_codes():
    full, half = voice_assistant(50), voice_assistant(25)
    assert (full.speech, half.speech) == (619, 309.5)
    assert (full.samples, full.prompt, full.text) == (half.samples, half.prompt, half.text)


def test_shards_of_another_frame_rate_are_found_before_the_run(settings, stand_ins, tmp_path):
    shard = tmp_path / "train-00000-of-00001.parquet"
    table = pq.read_table(stand_ins / "data/train-00000-of-00853.parquet")
    pq.write_table(table.replace_schema_metadata({"frame_rate_hz": "25"}), shard)
    raw, *_ = checks.check_inputs(settings(data={"raw": str(tmp_path)}))
    assert raw.state == "missing"
    assert f"{shard} says 25 codes per second, but the settings (codec) say 50" in raw.mend


def test_text_evaluation_is_counted_by_questions_and_answers(settings):
    made = settings()
    hours = text_hours(made, trained_per_second=100, token_seconds=0.5)
    generated = 256 * 0.5  # one batch of three questions
    prompts = sum(
        len(str(task.doc_to_text(doc))) / 4
        for suite in load_suites(made.evaluate_text.suites, Path(made.evaluate_text.datasets))
        for task in suite.tasks
        if task.OUTPUT_TYPE != "generate_until"
        for doc in task.eval_docs
    )
    assert hours == pytest.approx(3 * (generated + 4 * prompts / 300) / 3600)
    assert text_hours(settings(evaluate_text={"datasets": "nowhere"}), 1, 1) is None


def test_the_shape_of_a_split_is_that_of_its_samples(tmp_path, qwen3_tokenizer, stand_ins):
    chat = ChatFormat.from_tokenizer(extend_tokenizer(qwen3_tokenizer, 4096, "v1.1"))
    output = tmp_path / "all.jsonl"
    convert(stand_ins / "data", output, ConvertSettings(chat, 50))
    shape = split_shape(output)
    assert (shape.samples, shape.speech) == (36, 80)
    lengths = [len(json.loads(line)["input_ids"]) for line in output.read_text().splitlines()]
    assert shape.tokens == pytest.approx(sum(lengths) / 36)
    masked = [json.loads(line)["labels"].count(-100) for line in output.read_text().splitlines()]
    assert shape.prompt == pytest.approx(sum(masked) / 36)


@pytest.mark.slow
def test_the_command_times_this_machine(settings, tmp_path):
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(settings().model_dump()))
    command = [sys.executable, "-m", "voxtwist", "preflight", "--probe-seconds", "1", "--json"]
    done = subprocess.run(
        [*command, "--dollars", "2"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    stages = {stage["name"]: stage for stage in json.loads(done.stdout)["stages"]}
    assert stages.keys() == {
        "convert",
        "train",
        "evaluate_text, three models",
        "evaluate_speech",
    }
    for stage in stages.values():
        assert stage["hours"] > 0
        assert stage["dollars"] == pytest.approx(2 * stage["hours"])
    assert params.load(tmp_path / "params.yaml").train.batch_tokens == 512
