"""`unitlm`: our checkpoints in EleutherAI's lm-eval, also usable by name (`--model unitlm`).

Stock lm-eval (`--model hf`) reads our checkpoints too, and agrees on multiple choice. This class
adds what matters for a model that speaks: text answers end where the text ends, speech tokens stay
out of answers, and the probability that leaks to them is measured or masked.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from lm_eval.api.registry import register_model
from lm_eval.models.huggingface import HFLM
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList

from voxtwist.errors import VoxtwistError
from voxtwist.model.slamkit import import_slamkit, is_slamkit
from voxtwist.vocabulary import MODALITY_TOKENS, SpeechVocabulary, speech_token


@register_model("unitlm")
class UnitLM(HFLM):
    """A Hugging Face causal LM, with speech tokens or without.

    Args:
        pretrained: folder or hub name; also a `UnitLM` wrapper checkpoint, see `slamkit`.
        tokenizer: where the checkpoint has none: the base model's for a wrapper checkpoint.
        format, n_codes: of a wrapper checkpoint, see `import_slamkit`.
        mask_speech: give speech tokens no probability, in likelihoods and in generation.
        answer_prefix: what stands between a chat prompt and the answer. ``<text>`` puts a model
            trained in format v1.1 where it starts its text; it means nothing to other models.
        kwargs: of lm-eval's `HFLM`; thinking is off unless asked for.
    """

    def __init__(
        self,
        pretrained: str,
        tokenizer: str | None = None,
        mask_speech: bool = False,
        answer_prefix: str = "",
        format: str | None = None,
        n_codes: int = 4096,
        **kwargs: Any,
    ) -> None:
        settings = {"enable_thinking": False} | kwargs
        if is_slamkit(Path(pretrained)):
            if tokenizer is None:
                raise VoxtwistError(
                    f"{pretrained} is a UnitLM checkpoint, which has no tokenizer: give the base "
                    "model's as tokenizer"
                )
            with TemporaryDirectory() as folder:
                import_slamkit(Path(pretrained), Path(folder), tokenizer, format, n_codes)
                super().__init__(folder, **settings)
        else:
            super().__init__(pretrained, tokenizer=tokenizer, **settings)
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
        """Mean probability of speech, over all answer tokens that were scored or generated.

        In format v1, where speech follows text without a mark, the last step of a generated answer
        is no leak but counts as one.
        """
        return self._leaked.item() / max(self._scored, 1)

    def text_prefix(self) -> str:
        """``<text>`` if the model starts its answers with it, else nothing.

        A model of format v1.1 says nothing of its answer before it.
        """
        if self.vocabulary is None or self.vocabulary.text_start is None:
            return ""
        self.answer_prefix = ""
        prompt = self.apply_chat_template([{"role": "user", "content": "Hello!"}])
        ids = torch.tensor([self.tok_encode(prompt)], device=self.device)
        first = int(super()._model_call(ids)[0, -1].argmax())
        return MODALITY_TOKENS[0] if first == self.vocabulary.text_start else ""

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
        """Speech codes and marks, and the unused rows after them; not ``<text>``, ``</text>``."""
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
            speech = selected[:, self._speech_ids(selected.shape[-1])]
            self._leaked += speech.exp().sum().double().cpu()
            self._scored += len(selected)
        return selected

    def _model_generate(self, context: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if self.vocabulary:
            ends = self._ends_of_text(self.vocabulary)
            speech = self._speech_ids(self.model.get_output_embeddings().weight.shape[0])
            kwargs["eos_token_id"] = ends
            if self.mask_speech:
                kwargs["suppress_tokens"] = speech
            leak = _LeakedMass(speech, ends, context.shape[1])
            kwargs["logits_processor"] = LogitsProcessorList([leak])
        ids: Tensor = super()._model_generate(context, *args, **kwargs)
        if self.vocabulary:
            self._leaked += leak.mass
            self._scored += leak.tokens
        return ids

    @staticmethod
    def _ends_of_text(vocabulary: SpeechVocabulary) -> list[int]:
        if vocabulary.text_end is None or vocabulary.speech_start is None:  # v1: speech follows
            return [vocabulary.im_end, *range(vocabulary.code_offset, vocabulary.size)]
        return [vocabulary.im_end, vocabulary.text_end, vocabulary.speech_start]


class _LeakedMass(LogitsProcessor):
    """Sums the probability of speech at every generated token of answers that have not ended."""

    def __init__(self, speech: list[int], ends: list[int], prompt_length: int) -> None:
        self.speech = torch.tensor(speech)
        self.ends = torch.tensor(ends)
        self.prompt_length = prompt_length
        self.mass = torch.zeros((), dtype=torch.float64)
        self.tokens = 0

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores (B, vocabulary) of the next tokens, unchanged."""
        ended = torch.isin(input_ids[:, self.prompt_length :].cpu(), self.ends).any(dim=1)
        mass = scores.float().softmax(dim=-1)[:, self.speech.to(scores.device)].sum(dim=-1).cpu()
        self.mass += mass[~ended].double().sum()
        self.tokens += int((~ended).sum())
        return scores
