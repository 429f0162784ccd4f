"""The commands on the terminal do what the library does, and say what went wrong in a line."""

import json

import pytest
import soundfile
from typer.testing import CliRunner

from voxtwist.cli.main import app
from voxtwist.data.convert import convert
from voxtwist.errors import VoxtwistError


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
    convert_options = ("--tokenizer", tmp_path / "tokenizer", "--codes", 64)
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
        jobs = ("--codes", 64, "--shard-index", job, "--num-shards", 3)
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
    for codec in ("kmeans", "cosyvoice"):
        with pytest.raises(VoxtwistError, match="nowhere"):
            run("tokenize", *options, "--codec", codec, "--codec-path", tmp_path / "nowhere")
