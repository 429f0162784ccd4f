"""Which tokens may come next in an answer that must be well formed."""

import torch
from torch import Tensor
from transformers import LogitsProcessor, PreTrainedTokenizerFast

from voxtwist.params import Generate
from voxtwist.vocabulary import SpeechVocabulary

Legal = tuple[int | str, ...]


def longest_speech(settings: Generate, frame_rate_hz: int) -> int:
    """Codes that an answer may have, at least one: `max_speech_seconds` of them."""
    return max(1, round(settings.max_speech_seconds * frame_rate_hz))


class LegalTokens(LogitsProcessor):
    """Constrains answers to `<text> text </text> <speech> codes </speech> <|im_end|>` (format v1:
    text, codes, `<|im_end|>`), and each span to its longest length, so that every answer ends."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        prompt_length: int,
        settings: Generate,
        frame_rate_hz: int,
    ) -> None:
        """Args: frame_rate_hz: of the codec that the model speaks, in codes per second."""
        self.vocabulary = v = SpeechVocabulary.from_tokenizer(tokenizer)
        control = set(tokenizer.get_added_vocab().values())
        text = torch.tensor([i for i in range(v.text_size) if i not in control])
        self.kinds = {"text": text, "codes": torch.arange(v.code_offset, v.size)}
        self.prompt_length = prompt_length
        self.max_text = settings.max_text_tokens
        self.max_speech = longest_speech(settings, frame_rate_hz)
        self._illegal: dict[Legal, Tensor] = {}

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores (B, vocabulary) of the next tokens, illegal ones set to minus infinity."""
        answers = input_ids[:, self.prompt_length :]
        length = answers.shape[1]
        spoken = (answers >= self.vocabulary.code_offset).sum(dim=1).tolist()
        last = answers[:, -1].tolist() if length else [None] * len(answers)
        places = [self.following(*row, length) for row in zip(last, spoken, strict=True)]
        illegal = torch.stack([self._mask(legal, scores) for legal in places])
        return scores.masked_fill(illegal, -torch.inf)

    def following(self, last: int | None, spoken: int, length: int) -> Legal:
        """What may follow the ids of an answer so far: single ids, "text" or "codes".

        Args:
            last: the last id; None at the start.
            spoken: speech codes so far.
            length: ids so far.
        """
        v = self.vocabulary
        if last == v.im_end:
            return (v.im_end,)  # padding
        more_codes: Legal = ("codes",) if spoken < self.max_speech else ()
        if v.marks is None:
            more_text: Legal = ("text",) if not spoken and length < self.max_text else ()
            return more_text + (more_codes if length else ()) + ((v.im_end,) if spoken else ())
        text_start, text_end, speech_start, speech_end = v.marks
        only: dict[int | None, Legal] = {
            None: (text_start,),
            text_start: ("text",),
            text_end: (speech_start,),
            speech_start: ("codes",),
            speech_end: (v.im_end,),
        }
        if last in only:
            return only[last]
        if spoken:
            return (*more_codes, speech_end)
        return (*(("text",) if length <= self.max_text else ()), text_end)

    def _mask(self, legal: Legal, scores: Tensor) -> Tensor:
        """True (vocabulary,) where a token is illegal: one of a handful, made when first needed."""
        if legal not in self._illegal:
            mask = torch.ones_like(scores[0], dtype=torch.bool)
            for ids in legal:
                mask[self.kinds[ids] if isinstance(ids, str) else ids] = False
            self._illegal[legal] = mask
        return self._illegal[legal]
