"""A file of questions answered in text and speech."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from voxtwist.codec.audio import write_audio
from voxtwist.codec.base import decode_all
from voxtwist.codec.files import write_speech_tokens
from voxtwist.errors import VoxtwistError
from voxtwist.inference.generate import generate
from voxtwist.inference.speaker import Speaker
from voxtwist.params import Generate


@dataclass(frozen=True)
class Questions:
    """What is in a file of questions.

    Attributes:
        asked: line number and question of the rows that can be answered.
        rejected: rows that cannot, as `{"line": …, "reason": …}`.
    """

    asked: list[tuple[int, str]]
    rejected: list[dict[str, object]]


def read_question_file(file: Path) -> Questions:
    """Rows of a JSONL file, each `{"question": "…"}` (other fields are ignored) or a string.

    Raises:
        VoxtwistError: it cannot be read, or holds no row at all.
    """
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise VoxtwistError(f"{file} cannot be read: {error.strerror}") from None
    asked: list[tuple[int, str]] = []
    rejected: list[dict[str, object]] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            asked.append((number, _question(line)))
        except ValueError as error:
            rejected.append({"line": number, "reason": str(error)})
    if not asked and not rejected:
        raise VoxtwistError(f'{file} holds no questions: give one {{"question": …}} a line')
    return Questions(asked, rejected)


def _question(line: bytes) -> str:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise ValueError("not JSON") from None
    question = value.get("question") if isinstance(value, dict) else value
    if not isinstance(question, str):
        raise ValueError("no text under question")
    if not question.strip():
        raise ValueError("empty question")
    return question


def answer_file(
    speaker: Speaker, questions: Questions, settings: Generate, seed: int, output: Path
) -> dict[str, int]:
    """Answer in batches.

    Writes into `output`: answers.jsonl (`line`, `question`, `text`, `seconds`, `audio`, `problem`),
    tokens.jsonl (the codes of the answers that have any, for `voxtwist speak`), a FLAC for each of
    those, named after its line, and rejected.jsonl.

    Returns:
        How many rows were "answered" and "rejected", and how many answers are "malformed".
    """
    output.mkdir(parents=True, exist_ok=True)
    asked, rejected = [], list(questions.rejected)
    for line, question in questions.asked:
        try:
            speaker.prompt_ids([], question, settings)
            asked.append((line, question))
        except VoxtwistError as error:
            rejected.append({"line": line, "reason": str(error)})
    texts = [question for _, question in asked]
    rate = speaker.codec.frame_rate_hz
    answers = generate(speaker.model, speaker.tokenizer, texts, settings, rate, seed)
    waveforms = decode_all(speaker.codec, [answer.codes for answer in answers])
    rows = []
    for (line, question), answer, waveform in zip(asked, answers, waveforms, strict=True):
        audio = f"line-{line:05d}.flac" if len(waveform) else None
        if audio:
            write_audio(output / audio, waveform, speaker.codec.sample_rate)
        rows.append(
            {
                "line": line,
                "question": question,
                "text": answer.text.strip(),
                "seconds": round(len(waveform) / speaker.codec.sample_rate, 2),
                "audio": audio,
                "problem": answer.problem,
            }
        )
    _write_lines(output / "answers.jsonl", rows)
    _write_lines(output / "rejected.jsonl", rejected)
    spoken = [answer.codes for answer in answers if len(answer.codes)]
    write_speech_tokens(output / "tokens.jsonl", spoken, speaker.codec)
    malformed = sum(answer.problem is not None for answer in answers)
    return {"answered": len(answers), "rejected": len(rejected), "malformed": malformed}


def _write_lines(file: Path, rows: Sequence[dict[str, object]]) -> None:
    file.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
