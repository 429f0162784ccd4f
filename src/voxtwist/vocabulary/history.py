"""What a chat template writes around the turns before the last one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from voxtwist.vocabulary.template import (
    ANSWER,
    cut_first_stretch,
    cut_last_stretch,
    messages,
    render,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_SENTINELS = ("VOXFIRSTVOX", "VOXREPLYVOX", "VOXSECONDVOX", "VOXANOTHERVOX", "VOXTHIRDVOX")


@dataclass(frozen=True)
class History:
    """Ids and literals between a conversation's messages.

    Attributes:
        before_answer: ids between the stretch of a question and that of its answer.
        answer_prefix, answer_suffix: literals inside the answer's stretch.
        before_question: ids between the stretch of an answer and that of the next question.
    """

    before_answer: list[int]
    answer_prefix: str
    answer_suffix: str
    before_question: list[int]


def compile_history(
    tokenizer: PreTrainedTokenizerFast,
    constant_ids: Callable[[str], list[int]],
    question_prefix: str,
    question_suffix: str,
) -> History | None:
    """From a rendering of three turns; None where a template treats them in any other way than
    the single one, and each other.

    Args:
        constant_ids: ids of a literal with its control tokens.
        question_prefix, question_suffix: as in a single exchange.
    """
    control = tokenizer.get_added_vocab()
    single = render(tokenizer, messages("VOXTHIRDVOX", ANSWER)).split("VOXTHIRDVOX")
    rest = render(tokenizer, messages(*_SENTINELS, ANSWER))
    pieces = []
    for sentinel in _SENTINELS:
        piece, found, rest = rest.partition(sentinel)
        if not found:
            return None
        pieces.append(piece)
    head, reply, question, another, third = pieces
    if (head, rest) != tuple(single) or (reply, question) != (another, third):
        return None
    suffix, reply = cut_first_stretch(reply, control)
    reply, answer_prefix = cut_last_stretch(reply, control)
    answer_suffix, question = cut_first_stretch(question, control)
    question, prefix = cut_last_stretch(question, control)
    if (prefix, suffix) != (question_prefix, question_suffix):
        return None
    return History(constant_ids(reply), answer_prefix, answer_suffix, constant_ids(question))
