"""A user's recordings become a raw shard that converts like any other."""

import json
import re
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from voxtwist.codec.base import SpeechCodec
from voxtwist.data.convert import convert
from voxtwist.data.raw import read_batches
from voxtwist.data.stats import measure_rows
from voxtwist.data.tokenize_audio import tokenize_folder
from voxtwist.errors import VoxtwistError


class LoudnessCodec:
    """A real, if coarse, codec: 64 levels of loudness, 50 times a second."""

    name = "loudness"
    sample_rate = 16_000
    frame_rate_hz = 50
    vocab_size = 64

    def encode(self, waveform, rate):
        frame = rate // self.frame_rate_hz
        frames = waveform[: len(waveform) // frame * frame].reshape(-1, frame)
        return (np.abs(frames).max(axis=1) * 63).astype(np.int64)

    def decode(self, codes):
        return np.repeat(codes / 63, 320).astype(np.float32)

    def decode_many(self, utterances):
        return enumerate(map(self.decode, utterances))


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "audio"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, rate, channels in (("a.wav", 16_000, 1), ("b.flac", 44_100, 2), ("c.ogg", 48_000, 1)):
        soundfile.write(folder / name, rng.uniform(-0.5, 0.5, (rate * 2, channels)), rate)
    soundfile.write(folder / "silent.wav", np.zeros(16_000), 16_000)
    soundfile.write(folder / "empty.wav", np.zeros(0), 16_000)
    soundfile.write(folder / "blip.wav", np.full(50, 0.5), 16_000)
    (folder / "text.wav").write_text("this is no audio")
    return folder


def write_metadata(path, entries):
    lines = [entry if isinstance(entry, str) else json.dumps(entry) for entry in entries]
    path.write_text("\n".join(lines) + "\n")
    return path


def entry(audio, **fields):
    return {"question": "How are you?", "answer": f"I am {audio}", "audio": audio} | fields


def test_recordings_are_converted_and_the_rest_is_rejected(folder, settings, tmp_path):
    assert isinstance(LoudnessCodec(), SpeechCodec)
    metadata = write_metadata(
        tmp_path / "metadata.jsonl",
        [
            entry("a.wav", index="mine-1"),
            entry("silent.wav"),
            entry("b.flac"),
            entry("empty.wav"),
            entry("blip.wav"),
            entry("text.wav"),
            entry("missing.wav"),
            "",
            "{no json",
            {"question": "hi", "audio": "a.wav"},
            entry("a.wav", answer="  "),
            entry("c.ogg"),
        ],
    )
    shard = tmp_path / "own.parquet"
    done = []
    counts = tokenize_folder(folder, metadata, LoudnessCodec(), shard, done.append)
    assert (counts.rows_in, counts.rows_out, sum(done)) == (11, 3, 11)
    assert counts.rejected == {
        "silent audio": 1,
        "short audio": 1,
        "unreadable audio": 3,
        "metadata": 3,
    }
    rejected = [json.loads(line) for line in (tmp_path / "own.rejected.jsonl").open()]
    assert [record["row"] for record in rejected] == [1, 3, 4, 5, 6, 8, 9, 10]
    assert "missing.wav does not exist" in rejected[4]["detail"]
    [batch] = read_batches(shard)
    assert batch.index == ["mine-1", "own-00002", "own-00011"]
    assert np.diff(batch.offsets).tolist() == [100, 100, 100]

    result = convert(shard, tmp_path / "all.jsonl", settings)
    assert (result.rows_in, result.rows_out) == (3, 3)


def test_odd_recordings_cost_their_rows_only(folder, tmp_path):
    tone = 0.3 * np.sin(np.arange(16_000) / 10)
    soundfile.write(tmp_path / "outside.wav", tone, 16_000)
    soundfile.write(folder / "10ms.wav", tone[:160], 16_000)
    soundfile.write(folder / "sample.wav", tone[100:101], 16_000)
    soundfile.write(folder / "tone.wav", tone, 16_000)
    soundfile.write(folder / "tone.flac", tone, 16_000)
    whole = (folder / "tone.wav").read_bytes()
    (folder / "half.wav").write_bytes(whole[: len(whole) // 2])
    (folder / "piped.wav").write_bytes(
        whole[:4] + b"\xff" * 4 + whole[8:40] + b"\xff" * 4 + whole[44:]
    )
    (folder / "rate.wav").write_bytes(whole[:24] + (2**31 - 1).to_bytes(4, "little") + whole[28:])
    flac = (folder / "tone.flac").read_bytes()
    (folder / "half.flac").write_bytes(flac[: len(flac) // 2])
    claims = int.from_bytes(flac[18:26], "big") | 2**36 - 1  # samples: twelve days
    (folder / "days.flac").write_bytes(flac[:18] + claims.to_bytes(8, "big") + flac[26:])
    reasons = {
        "tone.wav": None,
        "piped.wav": None,
        "../audio/tone.wav": "is no path inside the audio folder",
        "../outside.wav": "is no path inside the audio folder",
        "x/../../outside.wav": "is no path inside the audio folder",
        str(tmp_path / "outside.wav"): "is no path inside the audio folder",
        "x" * 5000: "x… does not exist",
        "a\0b": "does not exist",
        "10ms.wav": "lasts 0.0100 s",
        "sample.wav": "lasts 0.0001 s",
        "rate.wav": "says that it has 2147483647 samples a second; 1000 to 768000 can be read",
        "half.wav": "says that it has 1.00 s and has 0.50 s: it is cut",
        "half.flac": "half.flac",
        "days.flac": "days.flac",
    }
    metadata = write_metadata(tmp_path / "metadata.jsonl", [entry(name) for name in reasons])
    metadata.write_bytes(b"\xef\xbb\xbf" + metadata.read_bytes().replace(b"\n", b"\r\n"))
    counts = tokenize_folder(folder, metadata, LoudnessCodec(), tmp_path / "own.parquet")
    assert (counts.rows_in, counts.rows_out) == (len(reasons), 2)
    rejected = [json.loads(line) for line in (tmp_path / "own.rejected.jsonl").open()]
    assert all(len(record["detail"]) < 500 for record in rejected)
    for record, detail in zip(rejected, list(reasons.values())[2:], strict=True):
        assert detail in record["detail"]


def test_nothing_usable_is_an_error(folder, tmp_path):
    metadata = write_metadata(tmp_path / "metadata.jsonl", [entry("silent.wav")])
    with pytest.raises(VoxtwistError, match=r"no recording can be used: see .*own\.rejected"):
        tokenize_folder(folder, metadata, LoudnessCodec(), tmp_path / "own.parquet")
    assert not (tmp_path / "own.parquet").exists()
    assert (tmp_path / "own.rejected.jsonl").exists()
    with pytest.raises(VoxtwistError, match="does not exist"):
        tokenize_folder(folder, tmp_path / "no.jsonl", LoudnessCodec(), tmp_path / "own.parquet")


def test_the_shard_says_whose_codes_it_holds(folder, settings, tmp_path):
    codec = LoudnessCodec()
    codec.frame_rate_hz = 25
    metadata = write_metadata(tmp_path / "metadata.jsonl", [entry("a.wav")])
    shard = tmp_path / "own.parquet"
    tokenize_folder(folder, metadata, codec, shard)
    assert pq.read_schema(shard).metadata == {
        b"codec": b"loudness", b"frame_rate_hz": b"25", b"vocab_size": b"64",
    }  # fmt: skip
    [batch] = read_batches(shard)
    assert len(batch.codes) == 50  # 2 s

    reason = f"{shard} says 25 codes per second, but the settings say 50 codes per second: "
    with pytest.raises(VoxtwistError, match=re.escape(reason)):
        convert(shard, tmp_path / "all.jsonl", settings)
    convert(shard, tmp_path / "all.jsonl", replace(settings, frame_rate_hz=25))
    assert measure_rows(tmp_path / "all.rows.parquet")["seconds"].tolist() == [2.0]
    other = replace(settings, frame_rate_hz=25, codec="phones")
    with pytest.raises(VoxtwistError, match="says loudness codes, but the settings say phones"):
        convert(shard, tmp_path / "all.jsonl", other)
