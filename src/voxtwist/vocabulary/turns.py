"""A question with the conversation before it, and how SLAM-Omni's multi-turn sets write one."""

from __future__ import annotations

import re
from dataclasses import dataclass

SPEAKER_PREFIX = "<USER>: "
_FIRST, _REPLY = "<USER>:", "<ASSISTANT>:"
_MARK = re.compile(r"\s*<(USER|ASSISTANT)>:\s*")


@dataclass(frozen=True)
class Conversation:
    """What was said before, as text only: templates know no more, and a second of speech is as
    long as forty words. White space around each message is no part of it.

    Attributes:
        earlier: question and answer of the turns before, oldest first.
        question: what is asked now.
    """

    earlier: tuple[tuple[str, str], ...]
    question: str

    @property
    def contents(self) -> list[str]:
        """Questions and answers in turn; the last one is `question`."""
        return [text.strip() for turn in self.earlier for text in turn] + [self.question.strip()]


def strip_speaker(text: str) -> str:
    """A single question without its ``<USER>: ``; a whole history with all its marks, as it is."""
    return text if _is_history(text) else text.removeprefix(SPEAKER_PREFIX)


def split_turns(question: str) -> str | Conversation:
    """The turns of a history ``<USER>: … <ASSISTANT>: … <USER>: …``; any other text is one turn.

    Raises:
        ValueError: the marks do not alternate, do not end with the user, or one has no text.
    """
    if not _is_history(question):
        return question
    _, *parts = _MARK.split(question)
    roles, contents = parts[::2], [text.strip() for text in parts[1::2]]
    if roles != ["USER", "ASSISTANT"] * (len(roles) // 2) + ["USER"]:
        raise ValueError(f"the turns are {' '.join(roles)}: they must alternate and end with USER")
    if not all(contents):
        raise ValueError(f"turn {contents.index('') + 1} has no text")
    *before, last = contents
    return Conversation(tuple(zip(before[::2], before[1::2], strict=True)), last)


def _is_history(text: str) -> bool:
    return text.startswith(_FIRST) and _REPLY in text
