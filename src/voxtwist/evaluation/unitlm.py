"""`unitlm`: our checkpoints in EleutherAI's lm-eval, also usable by name (`--model unitlm`).

Stock lm-eval (`--model hf`) reads our checkpoints too, and agrees on multiple choice. This class
adds what matters for a model that speaks: text answers end where the text ends, speech tokens stay
out of answers, and the probability that leaks to them is measured or masked.
"""

from __future__ import annotations

from typing import Any

import torch
from lm_eval.api.registry import register_model
from lm_eval.models.huggingface import HFLM
from torch import Tensor

from voxtwist.vocabulary import SpeechVocabulary, speech_token


@register_model("unitlm")
class UnitLM(HFLM):
    """A Hugging Face causal LM, with speech tokens or without.

    Args:
        pretrained: folder or hub name.
        mask_speech: give speech tokens no probability, in likelihoods and in generation.
        answer_prefix: what stands between a chat prompt and the answer. ``<text>`` puts a model
            trained in format v1.1 where it starts its text; it means nothing to other models.
        kwargs: of lm-eval's `HFLM`; thinking is off unless asked for.
    """

    def __init__(
        self,
        pretrained: str,
        mask_speech: bool = False,
        answer_prefix: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(pretrained, **{"enable_thinking": False} | kwargs)
        self.mask_speech = mask_speech
        self.answer_prefix = answer_prefix
        self.vocabulary = None
        if speech_token(0) in self.tokenizer.get_added_vocab():
            self.vocabulary = SpeechVocabulary.from_tokenizer(self.tokenizer)
        self.reset_leaked_mass()

    def reset_leaked_mass(self) -> None:
        self._leaked = torch.zeros((), dtype=torch.float64)
        self._scored = 0

    @property
    def leaked_mass(self) -> float:
        """Mean probability of ids behind the text vocabulary, over all scored answer tokens."""
        return self._leaked.item() / max(self._scored, 1)

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        prompt: str = super().apply_chat_template(chat_history, add_generation_prompt)
        return prompt + self.answer_prefix if add_generation_prompt else prompt

    def tok_decode(self, tokens: Any, skip_special_tokens: bool = True) -> str:
        """Ids to text, without speech tokens unless special tokens are asked for too."""
        if self.vocabulary and skip_special_tokens and isinstance(tokens, list):
            tokens = [token for token in tokens if token < self.vocabulary.text_size]
        text: str = super().tok_decode(tokens, skip_special_tokens=skip_special_tokens)
        return text

    def _speech_ids(self, n_rows: int) -> list[int]:
        """Speech codes and marks, and the unused rows behind them; not ``<text>``, ``</text>``."""
        if self.vocabulary is None:
            return []
        return [
            i
            for i in range(self.vocabulary.text_size, n_rows)
            if i not in (self.vocabulary.text_start, self.vocabulary.text_end)
        ]

    def _model_call(self, *args: Any, **kwargs: Any) -> Tensor:
        logits: Tensor = super()._model_call(*args, **kwargs)
        if self.mask_speech:
            logits[..., self._speech_ids(logits.shape[-1])] = -torch.inf
        return logits

    def _select_cont_toks(self, logits: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        selected: Tensor = super()._select_cont_toks(logits, *args, **kwargs)
        if self.vocabulary:
            self._leaked += selected[:, self.vocabulary.text_size :].exp().sum().double().cpu()
            self._scored += len(selected)
        return selected

    def _model_generate(self, *args: Any, **kwargs: Any) -> Tensor:
        if self.vocabulary:
            kwargs["eos_token_id"] = self._ends_of_text(self.vocabulary)
            if self.mask_speech:
                n_rows = self.model.get_output_embeddings().weight.shape[0]
                kwargs["suppress_tokens"] = self._speech_ids(n_rows)
        ids: Tensor = super()._model_generate(*args, **kwargs)
        return ids

    @staticmethod
    def _ends_of_text(vocabulary: SpeechVocabulary) -> list[int]:
        if vocabulary.text_end is None or vocabulary.speech_start is None:  # v1: speech follows
            return [vocabulary.im_end, *range(vocabulary.code_offset, vocabulary.size)]
        return [vocabulary.im_end, vocabulary.text_end, vocabulary.speech_start]
