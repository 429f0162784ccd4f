"""The commands on the terminal do what the library does, and say what went wrong in a line."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import soundfile
import yaml
from typer.testing import CliRunner

from voxtwist.cli.main import app
from voxtwist.codec.origin import Origin
from voxtwist.data.convert import convert
from voxtwist.data.raw import with_origin
from voxtwist.errors import VoxtwistError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path / "tokenizer")

    def invoke(*arguments):
        result = CliRunner().invoke(app, list(map(str, arguments)))
        if isinstance(result.exception, VoxtwistError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.output

    return invoke


def test_convert_split_and_reports(run, settings, raw_folder, tmp_path):
    output = tmp_path / "sft" / "all.jsonl"
    convert_options = ("--tokenizer", tmp_path / "tokenizer", "--codes", 64, "--frame-rate", 50)
    shown = run(
        *("convert", "--input", raw_folder, "--output", output, *convert_options),
        *("--metrics", tmp_path / "convert.json", "--plots", tmp_path / "plots"),
    )
    assert "samples written" in shown
    convert(raw_folder, tmp_path / "reference.jsonl", settings)
    assert output.read_bytes() == (tmp_path / "reference.jsonl").read_bytes()

    metrics = json.loads((tmp_path / "convert.json").read_text())
    lengths = [len(json.loads(line)["input_ids"]) for line in output.open()]
    assert metrics["tokens_in_all"] == sum(lengths)
    assert (metrics["tokens"]["min"], metrics["tokens"]["max"]) == (min(lengths), max(lengths))
    assert metrics["rejected"] == {"all": 0}
    histogram = (tmp_path / "plots" / "tokens.csv").read_text().splitlines()
    assert histogram[0] == "tokens,samples"
    assert sum(int(line.split(",")[1]) for line in histogram[1:]) == 16
    assert (tmp_path / "plots" / "lengths.png").read_bytes().startswith(b"\x89PNG")

    report = json.loads(
        run("split", "--input", output, "--output-dir", tmp_path / "s", "--group-by", "answer")
    )
    assert (report["train"], report["eval"], report["group_by"]) == (14, 2, "answer")


def test_jobs_and_merge(run, settings, raw_folder, tmp_path):
    convert(raw_folder, tmp_path / "reference.jsonl", settings)
    output = tmp_path / "all.jsonl"
    options = ("--input", raw_folder, "--output", output, "--tokenizer", tmp_path / "tokenizer")
    for job in range(3):
        jobs = ("--codes", 64, "--frame-rate", 50, "--shard-index", job, "--num-shards", 3)
        assert "voxtwist merge" in run("convert", *options, *jobs)
    assert not output.exists()
    run("merge", "--output", output)
    assert output.read_bytes() == (tmp_path / "reference.jsonl").read_bytes()
    with pytest.raises(VoxtwistError, match="it must be from 0 to 2"):
        run("convert", *options, "--shard-index", 3, "--num-shards", 3)


def test_tokenize_names_a_missing_codec(run, tmp_path):
    soundfile.write(tmp_path / "a.wav", [0.5] * 16_000, 16_000)
    metadata = tmp_path / "metadata.jsonl"
    metadata.write_text('{"question": "q", "answer": "a", "audio": "a.wav"}\n')
    options = ("--input", tmp_path, "--metadata", metadata, "--output", tmp_path / "own.parquet")
    for codec in ("phones", "cosyvoice"):
        with pytest.raises(VoxtwistError, match="nowhere"):
            run("tokenize", *options, "--codec", codec, "--codec-path", tmp_path / "nowhere")


def marked(folder, origin):
    """Rewrite shards so that their metadata say whose codes they hold."""
    for shard in folder.glob("*.parquet"):
        table = pq.read_table(shard)
        pq.write_table(table.cast(with_origin(table.schema, origin)), shard)


def test_convert_and_inspect_take_codes_and_rate_from_the_shards(run, raw_folder, tmp_path):
    marked(raw_folder, Origin("phones", 25, 64))
    output, metrics = tmp_path / "all.jsonl", tmp_path / "convert.json"
    options = ("--input", raw_folder, "--output", output, "--tokenizer", tmp_path / "tokenizer")
    run("convert", *options, "--metrics", metrics)
    assert json.loads(metrics.read_text())["seconds"]["min"] == 60 / 25
    report = json.loads(run("inspect", "raw", raw_folder, "--json"))
    assert (report["codes"], report["frame_rate_hz"], report["usable"]) == (64, 25, 16)
    assert report["statistics"]["seconds"]["min"] == 60 / 25
    sample = ("inspect", "sample", output, "--tokenizer", tmp_path / "tokenizer", "--codes", 64)
    view = json.loads(run(*sample, "--json", "--index", 3))
    assert (view["codes"], view["seconds"]) == (63, 63 / 25)

    for command in (("convert", *options), ("inspect", "raw", raw_folder)):
        for option, message in (
            (("--frame-rate", 50), "parquet says 25 codes per second, but .* 50"),
            (("--codes", 4096), "parquet says a vocabulary of 64 codes, but .* 4096"),
        ):
            with pytest.raises(VoxtwistError, match=message):
                run(*command, *option)


def test_shards_that_say_nothing_need_settings(run, raw_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(VoxtwistError, match=r"00004\.parquet does not say .* give --codes and"):
        run("inspect", "raw", raw_folder)
    settings = yaml.safe_load((ROOT / "params.yaml").read_text())
    settings["codec"] |= {"n_codes": 64, "frame_rate_hz": 25}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(settings))
    result = CliRunner().invoke(app, ["inspect", "raw", str(raw_folder), "--json"])
    assert "64 codes, 25 per second: params.yaml says what the files do not" in result.stderr
    assert json.loads(result.stdout)["frame_rate_hz"] == 25
