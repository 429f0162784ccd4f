"""The prompt of a question that follows earlier ones, exactly as the chat template has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from voxtwist.vocabulary.chat_format import ChatFormat
from voxtwist.vocabulary.template import split_at_control_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

ANSWER = "VOXANSWERVOX"  # no template contains it, and every tokenizer keeps it


class ConversationFormat:
    """Earlier turns are given as text only: that is all that templates know of them, and a
    second of speech is as long as forty words.

    Attributes:
        chat: the format of a single exchange, which answers are trained on.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        """See `ChatFormat.from_tokenizer` for what is raised."""
        self.chat = ChatFormat.from_tokenizer(tokenizer)
        self._tokenizer = tokenizer
        self._control = tokenizer.get_added_vocab()

    def prompt_ids(self, earlier: Sequence[tuple[str, str]], question: str) -> list[int]:
        """All ids up to where generation starts.

        Args:
            earlier: question and answer of the turns before, oldest first.
        """
        contents = [text.strip() for turn in earlier for text in turn] + [question.strip()]
        # What is said is put in behind the rendering: a literal <|im_end|> in it stays text.
        sentinels = {f"VOX{place}TURN": content for place, content in enumerate(contents)}
        roles = ("user", "assistant")
        messages = [
            {"role": roles[place % 2], "content": sentinel}
            for place, sentinel in enumerate(sentinels)
        ]
        rendered = self._tokenizer.apply_chat_template(
            [*messages, {"role": "assistant", "content": ANSWER}],
            tokenize=False,
            enable_thinking=False,
        )
        prompt = str(rendered).partition(ANSWER)[0]
        ids: list[int] = []
        for part in split_at_control_tokens(prompt, self._control):
            if part in self._control:
                ids.append(self._control[part])
                continue
            for sentinel, content in sentinels.items():
                if sentinel in part:
                    part = part.replace(sentinel, content)
                    break  # a stretch holds one message: control tokens stand between them
            ids += self.chat.text.encode(part)
        return ids
