"""`voxtwist generate`: every line of a file is answered, or rejected with a reason."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from voxtwist.errors import VoxtwistError
from voxtwist.inference.answer_file import answer_file, read_question_file

LINES = ['{"question": "Hi?", "id": 7}', '"And you?"', "", "{", '{"q": 1}', '{"question": " "}']


def lines_of(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_rows_are_answered_or_rejected_with_a_reason(speaker, generation, tmp_path):
    file, output = tmp_path / "questions.jsonl", tmp_path / "out"
    file.write_text("\n".join([*LINES, json.dumps("word " * 3000)]))
    counts = answer_file(speaker, read_question_file(file), generation(), 0, output)
    assert counts == {"answered": 2, "rejected": 4, "malformed": 0}
    rows = lines_of(output / "answers.jsonl")
    assert [(row["line"], row["question"]) for row in rows] == [(1, "Hi?"), (2, "And you?")]
    tokens = lines_of(output / "tokens.jsonl")
    for row, spoken in zip(rows, tokens, strict=True):
        assert row["seconds"] == len(spoken["speech_tokens"]) / 25
        assert soundfile.info(output / row["audio"]).duration == pytest.approx(row["seconds"])
    rejected = {row["line"]: row["reason"] for row in lines_of(output / "rejected.jsonl")}
    assert rejected.pop(7).startswith("the question takes")
    assert rejected == {4: "not JSON", 5: "no text under question", 6: "empty question"}


def test_a_file_without_rows_is_refused(tmp_path):
    (tmp_path / "none.jsonl").write_text("\n")
    with pytest.raises(VoxtwistError, match="holds no questions"):
        read_question_file(tmp_path / "none.jsonl")
    with pytest.raises(VoxtwistError, match="cannot be read"):
        read_question_file(tmp_path / "missing.jsonl")


@pytest.mark.slow
def test_the_command(project):
    (project / "questions.jsonl").write_text("\n".join(LINES))
    command = ["generate", "--questions", "questions.jsonl", "--output", "out"]
    done = subprocess.run(
        [sys.executable, "-m", "voxtwist", *command], cwd=project, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "out: 2 answered, 3 rejected, 0 malformed\n"
