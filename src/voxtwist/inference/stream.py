"""What a listener is told while an answer is generated."""

from collections.abc import Callable
from typing import Any

from transformers import PreTrainedTokenizerFast, TextStreamer

from voxtwist.vocabulary import SpeechVocabulary


class AnswerStream(TextStreamer):
    """Hands on the text of an answer in whole words, and then how many codes of speech there are.

    What it hands on is, joined, the text that `parse_generated` gives.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        on_text: Callable[[str], None],
        on_codes: Callable[[int], None],
    ) -> None:
        super().__init__(tokenizer, skip_prompt=True)
        self._vocabulary = SpeechVocabulary.from_tokenizer(tokenizer)
        self._control = set(tokenizer.get_added_vocab().values())
        self._on_text, self._on_codes = on_text, on_codes
        self._codes = 0

    def put(self, value: Any) -> None:
        if self.next_tokens_are_prompt:
            super().put(value)
        elif self._vocabulary.is_speech(value.numpy()).all():
            if not self._codes:
                self._flush()
            self._codes += 1
            self._on_codes(self._codes)
        elif int(value) not in self._control:
            super().put(value)

    def _flush(self) -> None:
        super().end()
        self.next_tokens_are_prompt = False

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        if text:
            self._on_text(text)
