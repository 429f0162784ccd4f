"""A question, the turns before it and a spoken answer as ids and labels, as the template has them.

Control tokens (``<|im_start|>``, ``</think>``, …) cut the rendered template into stretches of
plain text. A stretch is always encoded whole, literal part and content together, because BPE
merges across their border ("user\\n" + "\\nhi" share one "\\n\\n" token); and by a tokenizer that
knows no control tokens, so that what stands in the data stays text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from voxtwist.errors import VoxtwistError
from voxtwist.vocabulary.history import History, compile_history
from voxtwist.vocabulary.template import (
    ANSWER,
    ASSISTANT,
    QUESTION,
    TRIMS,
    cut_first_stretch,
    cut_last_stretch,
    find_trim,
    messages,
    plain_text_encoder,
    refuse_dated,
    render,
    split_at_control_tokens,
)
from voxtwist.vocabulary.text_encoder import TextEncoder
from voxtwist.vocabulary.tokens import END_OF_TURN, SpeechVocabulary
from voxtwist.vocabulary.turns import Conversation

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

IGNORED_LABEL = -100  # what torch's cross_entropy ignores

# Exchanges on which a compiled format must agree with the tokenizer's own template.
PROBES = [("q", "a"), ("\n q\n ", "\n\n a \n"), ("e\u0301 12\t", " \u2026👩‍🔬 你好 it's 3.5.  ")]


class Sample(NamedTuple):
    """One training example: int64 arrays of equal length; labels are -100 on the prompt."""

    input_ids: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class ChatFormat:
    """A chat template, compiled once. It holds no transformers object and can be pickled.

    A sample is `before`, the stretches of earlier turns with what `history` has between them, the
    question's stretch, `between`, the answer's stretch, `before_speech`, the speech ids and `end`.

    Attributes:
        vocabulary: ids of the extended tokenizer.
        text: the tokenizer without its control tokens.
        question_prefix, question_suffix, answer_prefix: literals inside the stretches.
        question_trim, answer_trim: keys of `TRIMS`.
        masked: how many ids behind the question's stretch are prompt. (Where the newline of
            ``assistant\\n`` merges with one of the answer, the merged token is prompt.)
        prompt_end: the ids behind the question's stretch where generation starts.
        history: what stands around earlier turns; None where the template has a way of its own.
    """

    vocabulary: SpeechVocabulary
    text: TextEncoder
    before: list[int]
    question_prefix: str
    question_suffix: str
    question_trim: str
    between: list[int]
    answer_prefix: str
    answer_trim: str
    before_speech: list[int]
    end: list[int]
    masked: int
    prompt_end: list[int]
    history: History | None

    @classmethod
    def from_tokenizer(cls, tokenizer: PreTrainedTokenizerFast) -> ChatFormat:
        """Compiles the template of an extended tokenizer, with thinking disabled.

        Raises:
            VoxtwistError: a template that is not ChatML, that changes the content in an unknown
                way, that writes today's date, or that does not tokenize as this class would.
        """
        refuse_dated(tokenizer)
        vocabulary = SpeechVocabulary.from_tokenizer(tokenizer)
        text = plain_text_encoder(tokenizer)
        control = tokenizer.get_added_vocab()

        def constant_ids(literal: str) -> list[int]:
            ids: list[int] = []
            for part in split_at_control_tokens(literal, control):
                ids += [control[part]] if part in control else text.encode(part)
            return ids

        rendered = render(tokenizer, messages(QUESTION, ANSWER))
        head, _, rest = rendered.partition(QUESTION)
        middle, _, tail = rest.partition(ANSWER)
        if ASSISTANT not in middle or tail.rstrip() != END_OF_TURN:
            raise VoxtwistError(
                "the chat template is not ChatML (<|im_start|>user … <|im_end|> <|im_start|>"
                f"assistant … <|im_end|>); it renders as {rendered!r}"
            )
        head, question_prefix = cut_last_stretch(head, control)
        question_suffix, middle = cut_first_stretch(middle, control)
        header = middle[: middle.rindex(ASSISTANT) + len(ASSISTANT)]
        middle, answer_prefix = cut_last_stretch(middle, control)
        between = constant_ids(middle)
        prompt_end = [*between, *text.encode(answer_prefix)]
        question_trim = find_trim(tokenizer, QUESTION)
        answer_trim = find_trim(tokenizer, ANSWER)

        def text_part(question: str, answer: str) -> list[int]:
            question = question_prefix + TRIMS[question_trim](question) + question_suffix
            answer = answer_prefix + TRIMS[answer_trim](answer)
            ids = [*constant_ids(head), *text.encode(question), *between]
            return [*ids, *text.encode(answer), vocabulary.im_end]

        check_against_template(tokenizer, text_part)
        common: dict[str, Any] = {
            "vocabulary": vocabulary,
            "text": text,
            "before": constant_ids(head),
            "question_prefix": question_prefix,
            "question_suffix": question_suffix,
            "question_trim": question_trim,
            "answer_trim": answer_trim,
            "prompt_end": prompt_end,
            "history": compile_history(tokenizer, constant_ids, question_prefix, question_suffix),
        }
        if vocabulary.marks is None:
            return cls(
                between=between,
                answer_prefix=answer_prefix,
                before_speech=[],
                end=[vocabulary.im_end],
                masked=len(constant_ids(header)),
                **common,
            )
        text_start, text_end, speech_start, speech_end = vocabulary.marks
        return cls(
            between=[*prompt_end, text_start],
            answer_prefix="",
            before_speech=[text_end, speech_start],
            end=[speech_end, vocabulary.im_end],
            masked=len(prompt_end),
            **common,
        )

    @property
    def format(self) -> str:
        return self.vocabulary.format

    def prompt_ids(self, question: str | Conversation) -> list[int]:
        """All ids up to where generation starts: behind ``assistant\\n`` and any empty thinking.

        In format v1.1 the model generates ``<text>`` itself, first.

        Raises:
            VoxtwistError: there are earlier turns, and `history` is None.
        """
        stretches = [self.text.encode(text) for text in self._stretches(question)]
        return [*self._asked(stretches), *self.prompt_end]

    def encode_batch(
        self,
        questions: Sequence[str | Conversation],
        answers: Sequence[str],
        codes: Sequence[np.ndarray],
    ) -> list[Sample]:
        """Encodes rows together, which is many times faster than one by one.

        Args:
            questions, answers: the text as it is in the data.
            codes: speech codes, one integer array (T,) a row, each in ``[0, n_codes)``.

        Raises:
            VoxtwistError: see `prompt_ids`.
        """
        trim = TRIMS[self.answer_trim]
        asked = [self._stretches(question) for question in questions]
        stretches = [text for row in asked for text in row]
        stretches += [self.answer_prefix + trim(text) for text in answers]
        encoded = iter(self.text.encode_batch(stretches))
        prompts = [self._asked([next(encoded) for _ in row]) for row in asked]
        end = np.array(self.end, dtype=np.int64)
        samples = []
        for prompt, answer, row_codes in zip(prompts, encoded, codes, strict=True):
            speech = np.asarray(row_codes, dtype=np.int64) + self.vocabulary.code_offset
            head = [*prompt, *self.between, *answer, *self.before_speech]
            ids = np.concatenate([head, speech, end])
            labels = ids.copy()
            labels[: len(prompt) + self.masked] = IGNORED_LABEL
            samples.append(Sample(ids, labels))
        return samples

    def _stretches(self, question: str | Conversation) -> list[str]:
        """The text of each stretch before the answer: questions, and earlier answers between."""
        if isinstance(question, str):
            question = TRIMS[self.question_trim](question)
            return [self.question_prefix + question + self.question_suffix]
        if len(question.earlier) and self.history is None:
            raise VoxtwistError(
                "the chat template renders earlier turns in a way that Voxtwist does not know: "
                "ask without them, or take another base model"
            )
        around = [(self.question_prefix, self.question_suffix)]
        if self.history is not None:
            around.append((self.history.answer_prefix, self.history.answer_suffix))
        return [
            around[i % 2][0] + text + around[i % 2][1] for i, text in enumerate(question.contents)
        ]

    def _asked(self, stretches: Sequence[list[int]]) -> list[int]:
        """All ids up to the end of the question's stretch."""
        ids = [*self.before, *stretches[0]]
        for i, stretch in enumerate(stretches[1:]):
            assert self.history is not None
            ids += self.history.before_question if i % 2 else self.history.before_answer
            ids += stretch
        return ids


def check_against_template(
    tokenizer: PreTrainedTokenizerFast, text_part: Callable[[str, str], list[int]]
) -> None:
    """Compares question and answer to ids with the tokenizer's own, on a few odd exchanges.

    Raises:
        VoxtwistError: they differ, so this tokenizer needs something that Voxtwist does not know.
    """
    for question, answer in PROBES:
        theirs = tokenizer.apply_chat_template(
            messages(question, answer), tokenize=True, enable_thinking=False, return_dict=False
        )
        ours = text_part(question, answer)
        if theirs[: len(ours)] != ours:
            raise VoxtwistError(
                f"the tokenizer encodes the exchange {question!r} / {answer!r} as {theirs}, "
                f"Voxtwist as {ours}: this tokenizer is not supported"
            )
