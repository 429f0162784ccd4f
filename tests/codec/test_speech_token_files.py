import json
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtwist.codec.files import read_speech_tokens, write_speech_tokens
from voxtwist.codec.origin import Origin
from voxtwist.errors import VoxtwistError

CODEC = SimpleNamespace(name="phones", frame_rate_hz=50, vocab_size=4096)
codes = st.lists(st.integers(0, 4095), min_size=1, max_size=50)


@settings(deadline=None)
@given(utterances=st.lists(codes, min_size=1, max_size=5))
def test_written_files_read_back(tmp_path_factory, utterances):
    path = tmp_path_factory.getbasetemp() / "tokens.jsonl"
    write_speech_tokens(path, [np.array(u) for u in utterances], CODEC)
    read = read_speech_tokens(path)
    assert [u.codes.tolist() for u in read] == utterances
    assert {u.origin for u in read} == {Origin("phones", 50, 4096)}


def test_written_object_says_whose_codes_it_holds(tmp_path):
    path = tmp_path / "tokens.json"
    write_speech_tokens(path, [np.array([1, 2])], CODEC)
    assert json.loads(path.read_text()) == {
        "codec": "phones",
        "frame_rate_hz": 50,
        "vocab_size": 4096,
        "speech_tokens": [1, 2],
    }
    with pytest.raises(VoxtwistError, match=r"2 utterances are written as \.jsonl"):
        write_speech_tokens(path, [np.array([1]), np.array([2])], CODEC)
    with pytest.raises(VoxtwistError, match="utterance 0: speech token 4096"):
        write_speech_tokens(path, [np.array([4096])], CODEC)


@pytest.mark.parametrize("text", ["[3, 1]", '{"speech_tokens": [3, 1]}', "[\n3,\n1\n]\n"])
def test_both_forms_of_json(tmp_path, text):
    path = tmp_path / "tokens.json"
    path.write_text(text)
    (utterance,) = read_speech_tokens(path)
    assert utterance.codes.tolist() == [3, 1]
    assert utterance.origin == Origin()


@pytest.mark.parametrize(
    "line",
    [
        '"text"',
        "[1.5]",
        "[true]",
        "[[1]]",
        '{"tokens": [1]}',
        '{"codec": 3, "speech_tokens": [1]}',
        '{"frame_rate_hz": "50", "speech_tokens": [1]}',
        '{"frame_rate_hz": 0, "speech_tokens": [1]}',
        '{"frame_rate_hz": 12.5, "speech_tokens": [1]}',
        '{"vocab_size": true, "speech_tokens": [1]}',
        "[18446744073709551615]",
        "[1,",
    ],
)
def test_bad_lines_are_named(tmp_path, line):
    path = tmp_path / "tokens.jsonl"
    path.write_text(f"[1]\n\n{line}\n")
    with pytest.raises(VoxtwistError, match=r"tokens\.jsonl line 3"):
        read_speech_tokens(path)


def test_missing_and_empty_files_are_named(tmp_path):
    with pytest.raises(VoxtwistError, match=r"none\.json cannot be read: No such file"):
        read_speech_tokens(tmp_path / "none.json")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(VoxtwistError, match="holds no utterance"):
        read_speech_tokens(tmp_path / "empty.jsonl")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["speech_tokens", "codec", "frame_rate_hz", "x"]), inner, max_size=3
        )
    ),
)


@settings(deadline=None, max_examples=200)
@given(content=st.binary(max_size=40) | json_values.map(lambda v: json.dumps(v).encode()))
@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
def test_any_content_is_tokens_or_a_clear_error(tmp_path_factory, suffix, content):
    path = tmp_path_factory.getbasetemp() / f"fuzz{suffix}"
    path.write_bytes(content)
    try:
        for utterance in read_speech_tokens(path):
            assert utterance.codes.dtype == np.int64
    except VoxtwistError as error:
        assert path.name in str(error)
