"""One question and one spoken answer as ids and labels, exactly as the chat template has them.

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
from voxtwist.vocabulary.template import (
    ANSWER,
    QUESTION,
    TRIMS,
    cut_first_stretch,
    cut_last_stretch,
    find_trim,
    messages,
    plain_text_encoder,
    render,
    split_at_control_tokens,
)
from voxtwist.vocabulary.text_encoder import TextEncoder
from voxtwist.vocabulary.tokens import END_OF_TURN, SpeechVocabulary

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

IGNORED_LABEL = -100  # what torch's cross_entropy ignores
ASSISTANT = "<|im_start|>assistant\n"

# Exchanges on which a compiled format must agree with the tokenizer's own template.
PROBES = [("q", "a"), ("\n q\n ", "\n\n a \n"), ("e\u0301 12\t", " \u2026👩‍🔬 你好 it's 3.5.  ")]


class Sample(NamedTuple):
    """One training example: int64 arrays of equal length; labels are -100 on the prompt."""

    input_ids: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class ChatFormat:
    """A chat template, compiled once. It holds no transformers object and can be pickled.

    A sample is `before`, the question's stretch, `between`, the answer's stretch, `before_speech`,
    the speech ids and `end`.

    Attributes:
        vocabulary: ids of the extended tokenizer.
        text: the tokenizer without its control tokens.
        question_prefix, question_suffix, answer_prefix: literals inside the stretches.
        question_trim, answer_trim: keys of `TRIMS`.
        masked: how many ids behind the question's stretch are prompt. (Where the newline of
            ``assistant\\n`` merges with one of the answer, the merged token is prompt.)
        prompt_end: the ids behind the question's stretch where generation starts.
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

    @classmethod
    def from_tokenizer(cls, tokenizer: PreTrainedTokenizerFast) -> ChatFormat:
        """Compiles the template of an extended tokenizer, with thinking disabled.

        Raises:
            VoxtwistError: a template that is not ChatML, that changes the content in an unknown
                way, or that does not tokenize as this class would.
        """
        vocabulary = SpeechVocabulary.from_tokenizer(tokenizer)
        text = plain_text_encoder(tokenizer)
        control = tokenizer.get_added_vocab()

        def constant_ids(literal: str) -> list[int]:
            ids: list[int] = []
            for part in split_at_control_tokens(literal, control):
                ids += [control[part]] if part in control else text.encode(part)
            return ids

        rendered = render(tokenizer, QUESTION, ANSWER)
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

    def prompt_ids(self, question: str) -> list[int]:
        """All ids up to where generation starts: behind ``assistant\\n`` and any empty thinking.

        In format v1.1 the model generates ``<text>`` itself, first.
        """
        return [*self.before, *self.text.encode(self._question(question)), *self.prompt_end]

    def encode_batch(
        self, questions: Sequence[str], answers: Sequence[str], codes: Sequence[np.ndarray]
    ) -> list[Sample]:
        """Encodes rows together, which is many times faster than one by one.

        Args:
            questions, answers: the text as it is in the data.
            codes: speech codes, one integer array (T,) a row, each in ``[0, n_codes)``.
        """
        trim = TRIMS[self.answer_trim]
        stretches = [self._question(text) for text in questions]
        stretches += [self.answer_prefix + trim(text) for text in answers]
        encoded = self.text.encode_batch(stretches)
        end = np.array(self.end, dtype=np.int64)
        samples = []
        for row, row_codes in enumerate(codes):
            speech = np.asarray(row_codes, dtype=np.int64) + self.vocabulary.code_offset
            question, answer = encoded[row], encoded[len(codes) + row]
            head = [*self.before, *question, *self.between, *answer, *self.before_speech]
            ids = np.concatenate([head, speech, end])
            labels = ids.copy()
            labels[: len(self.before) + len(question) + self.masked] = IGNORED_LABEL
            samples.append(Sample(ids, labels))
        return samples

    def _question(self, question: str) -> str:
        return self.question_prefix + TRIMS[self.question_trim](question) + self.question_suffix


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
