"""Which tokens may come next in an answer that must be well formed."""

import torch
from torch import Tensor
from transformers import LogitsProcessor, PreTrainedTokenizerFast

from voxtwist.params import Generate
from voxtwist.vocabulary import SpeechVocabulary

FRAME_RATE_HZ = 50  # of every codec


class LegalTokens(LogitsProcessor):
    """Constrains answers to `<text> text </text> <speech> codes </speech> <|im_end|>` (format v1:
    text, codes, `<|im_end|>`), and each span to its longest length, so that every answer ends."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerFast, prompt_length: int, settings: Generate
    ) -> None:
        self.vocabulary = v = SpeechVocabulary.from_tokenizer(tokenizer)
        control = set(tokenizer.get_added_vocab().values())
        self.text = torch.tensor([i for i in range(v.text_size) if i not in control])
        self.codes = torch.arange(v.code_offset, v.size)
        self.prompt_length = prompt_length
        self.max_text = settings.max_text_tokens
        self.max_speech = round(settings.max_speech_seconds * FRAME_RATE_HZ)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores (B, vocabulary) of the next tokens, illegal ones set to minus infinity."""
        legal = torch.zeros_like(scores, dtype=torch.bool)
        for row, answer in zip(legal, input_ids[:, self.prompt_length :].tolist(), strict=True):
            for ids in self.following(answer):
                row[ids] = True
        return scores.masked_fill(~legal, -torch.inf)

    def following(self, answer: list[int]) -> list[Tensor | int]:
        """The ids that may follow the ids of an answer so far."""
        v = self.vocabulary
        spoken = sum(i >= v.code_offset for i in answer)
        if answer and answer[-1] == v.im_end:
            return [v.im_end]  # padding
        more_codes = [self.codes] if spoken < self.max_speech else []
        if v.marks is None:
            more_text = [self.text] if not spoken and len(answer) < self.max_text else []
            return more_text + (more_codes if answer else []) + ([v.im_end] if spoken else [])
        text_start, text_end, speech_start, speech_end = v.marks
        if not answer:
            return [text_start]
        if answer[-1] == text_start:
            return [self.text]
        if answer[-1] == text_end:
            return [speech_start]
        if answer[-1] == speech_start:
            return [self.codes]
        if answer[-1] == speech_end:
            return [v.im_end]
        if spoken:
            return [*more_codes, speech_end]
        return [*([self.text] if len(answer) <= self.max_text else []), text_end]
