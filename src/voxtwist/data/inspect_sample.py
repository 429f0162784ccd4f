"""One converted sample, token by token, and whether it is built as it should be."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from voxtwist.errors import VoxtwistError
from voxtwist.vocabulary import IGNORED_LABEL, ChatFormat, Spoken, parse_generated

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True)
class TokenView:
    """One position: its id, its text, "text" | "control" | "speech" | "unknown", and its masks."""

    position: int
    id: int
    text: str
    modality: str
    supervised: bool
    attended: bool


@dataclass(frozen=True)
class Check:
    """One property of a well-built sample, in words."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True)
class SampleView:
    """A sample taken apart. `prompt` is decoded with control tokens; `seconds` are of speech, None
    where the codes' rate is not known."""

    tokens: list[TokenView]
    prompt: str
    answer: str
    codes: int
    seconds: float | None
    checks: list[Check]

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)


def read_line(jsonl: Path, number: int) -> dict[str, Any]:
    """The sample in line `number`, counted from 0.

    Raises:
        VoxtwistError: no such file or line, or a line that is no sample.
    """
    if not jsonl.is_file():
        raise VoxtwistError(f"{jsonl} does not exist")
    with jsonl.open("rb") as file:
        line = next(islice(file, number, None), None)
    if line is None:
        raise VoxtwistError(f"{jsonl} has no line {number} (lines count from 0)")
    try:
        sample = orjson.loads(line)
        arrays = [np.array(sample[k], dtype=np.int64) for k in ("input_ids", "labels")]
        mask = np.array(sample["attention_mask"], dtype=np.int64)
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise VoxtwistError(f"{jsonl} line {number} is no sample: {error!r}") from None
    if not len(arrays[0]) or len({len(array) for array in (*arrays, mask)}) != 1:
        raise VoxtwistError(
            f"{jsonl} line {number}: input_ids, labels and attention_mask have "
            f"{len(arrays[0])}, {len(arrays[1])} and {len(mask)} entries; they must be as long"
        )
    return {"input_ids": arrays[0], "labels": arrays[1], "attention_mask": mask}


def describe_sample(
    sample: dict[str, Any], tokenizer: PreTrainedTokenizerFast, frame_rate_hz: int | None = None
) -> SampleView:
    """
    Args:
        sample: of `read_line`.
        tokenizer: the extended one it was made with.
        frame_rate_hz: the codec's codes per second; None: not known.
    """
    chat = ChatFormat.from_tokenizer(tokenizer)
    ids, labels, mask = sample["input_ids"], sample["labels"], sample["attention_mask"]
    supervised = labels != IGNORED_LABEL
    prompt = int(supervised.argmax()) if supervised.any() else len(ids)
    # In format v1 an empty thinking block is part of what is learnt; the answer follows it.
    thinking = chat.prompt_end[chat.masked :]
    starts_thinking = ids[prompt : prompt + len(thinking)].tolist() == thinking
    spoken = parse_generated(
        ids[prompt + len(thinking) * starts_thinking :], chat.vocabulary, tokenizer
    )
    return SampleView(
        tokens=view_tokens(ids, supervised, mask, chat, tokenizer),
        prompt=str(tokenizer.decode(ids[:prompt].tolist())),
        answer=spoken.text,
        codes=len(spoken.codes),
        seconds=len(spoken.codes) / frame_rate_hz if frame_rate_hz else None,
        checks=check_sample(sample, chat, prompt, spoken, starts_thinking),
    )


def view_tokens(
    ids: np.ndarray,
    supervised: np.ndarray,
    mask: np.ndarray,
    chat: ChatFormat,
    tokenizer: PreTrainedTokenizerFast,
) -> list[TokenView]:
    control = set(tokenizer.get_added_vocab().values())

    def modality(token: int) -> str:
        if chat.vocabulary.is_speech(token):
            return "speech"
        if token in control:
            return "control"
        return "text" if 0 <= token < chat.vocabulary.text_size else "unknown"

    return [
        TokenView(
            position=position,
            id=token,
            text=str(tokenizer.decode([token])) if 0 <= token < len(tokenizer) else "?",
            modality=modality(token),
            supervised=bool(supervised[position]),
            attended=bool(mask[position]),
        )
        for position, token in enumerate(ids.tolist())
    ]


def check_sample(
    sample: dict[str, Any], chat: ChatFormat, prompt: int, spoken: Spoken, starts_thinking: bool
) -> list[Check]:
    ids, labels = sample["input_ids"], sample["labels"]
    size = chat.vocabulary.size
    outside = ids[(ids < 0) | (ids >= size)]
    differing = np.flatnonzero(labels[prompt:] != ids[prompt:])
    header = chat.prompt_end[: chat.masked]
    ends_at_header = ids[:prompt].tolist()[-len(header) :] == header
    last = int(ids[-1])
    return [
        Check(
            "every id is in the vocabulary",
            not len(outside),
            f"{len(outside)} are not, the first is {outside[0]}" if len(outside) else f"of {size}",
        ),
        Check(
            "the mask attends to every token",
            bool(sample["attention_mask"].all()),
            f"{int(sample['attention_mask'].sum())} of {len(ids)}",
        ),
        Check(
            "the prompt is masked and ends where generation starts",
            ends_at_header and prompt < len(ids),
            f"{prompt} tokens are masked",
        ),
        Check(
            "labels behind the prompt equal the ids",
            not len(differing),
            f"they differ at position {prompt + differing[0]}"
            if len(differing)
            else f"{len(ids) - prompt} tokens are learnt",
        ),
        Check(
            "the answer is text, then speech, then the end of the turn",
            spoken.well_formed and starts_thinking,
            spoken.problem or f"{len(spoken.text)} characters, {len(spoken.codes)} codes",
        ),
        Check(
            "nothing follows the end of the turn",
            last == chat.vocabulary.im_end,
            f"the last id is {last}, <|im_end|> is {chat.vocabulary.im_end}",
        ),
    ]
