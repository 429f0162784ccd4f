"""A checkpoint and a codec that belong together: questions in, text and speech out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerFast, TextStreamer

from voxtwist import params
from voxtwist.codec.base import SpeechCodec
from voxtwist.codec.loading import load_codec
from voxtwist.device import best_device
from voxtwist.errors import VoxtwistError
from voxtwist.inference.generate import generate_streaming, longest_answer
from voxtwist.inference.server import Server
from voxtwist.model.base import load_model, load_tokenizer
from voxtwist.vocabulary import ChatFormat, Conversation, SpeechVocabulary, Spoken

Turn = tuple[str, str]


@dataclass
class Speaker:
    """Answers in text and speech, with the earlier turns in mind.

    Attributes:
        model: here, or behind a server.
        codec: turns the answers' codes into sound; it may be replaced by one with another voice.
    """

    model: PreTrainedModel | Server
    tokenizer: PreTrainedTokenizerFast
    codec: SpeechCodec

    @classmethod
    def load(cls, checkpoint: Path, codec: params.Codec, server: str | None = None) -> "Speaker":
        """Load both, on the GPU where there is one.

        Args:
            server: that serves the checkpoint, see `Server`; None loads the model here.

        Raises:
            VoxtwistError: one is missing, or the model has other codes than the codec.
        """
        device = best_device()
        tokenizer = load_tokenizer(checkpoint)
        has = SpeechVocabulary.from_tokenizer(tokenizer).n_codes
        if has != codec.n_codes:
            raise VoxtwistError(
                f"{checkpoint} has {has} codes, codec.n_codes is {codec.n_codes}: "
                "set params.yaml to the codec that the model was trained on"
            )
        decoder = load_codec(codec)
        if server:
            return cls(Server.connect(server, checkpoint), tokenizer, decoder)
        return cls(load_model(checkpoint, device=device), tokenizer, decoder)

    def __post_init__(self) -> None:
        self._format = ChatFormat.from_tokenizer(self.tokenizer)

    @property
    def context(self) -> int:
        """Tokens that a prompt and its answer may have together."""
        if isinstance(self.model, Server):
            return self.model.context
        return int(self.model.config.max_position_embeddings)

    def answer(
        self,
        earlier: Sequence[Turn],
        question: str,
        settings: params.Generate,
        seed: int,
        on_text: Callable[[str], None],
        on_codes: Callable[[int], None],
    ) -> Spoken:
        """Answer one question.

        Args:
            earlier: the turns before; the oldest are forgotten where they do not fit the context.
            on_text: is called with each piece of text as it comes.
            on_codes: is called with the number of codes so far.

        Raises:
            VoxtwistError: the question alone is too long for the model's context.
        """
        stream = AnswerStream(self.tokenizer, on_text, on_codes)
        prompt = self.prompt_ids(earlier, question, settings)
        rate = self.codec.frame_rate_hz
        return generate_streaming(self.model, self.tokenizer, prompt, settings, rate, seed, stream)

    def prompt_ids(
        self, earlier: Sequence[Turn], question: str, settings: params.Generate
    ) -> list[int]:
        """The prompt's ids, with as many of the last turns as leave room for the longest answer.

        Raises:
            VoxtwistError: see `answer`.
        """
        context, room = self.context, longest_answer(settings, self.codec.frame_rate_hz)
        for oldest in range(len(earlier) + 1):
            prompt = self._format.prompt_ids(Conversation(tuple(earlier[oldest:]), question))
            if len(prompt) + room <= context:
                return prompt
        raise VoxtwistError(
            f"the question takes {len(prompt)} tokens and an answer up to {room}, but the model "
            f"reads {context}: ask for less, or lower generate.max_speech_seconds"
        )

    def speak(self, answer: Spoken) -> np.ndarray:
        """Mono float32 waveform (N,) at the codec's rate; empty for an answer without codes."""
        return self.codec.decode(answer.codes) if len(answer.codes) else np.zeros(0, np.float32)


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
