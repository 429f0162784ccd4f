"""lm-eval on a checkpoint behind a server, asked as `UnitLM` asks one that is loaded here."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

from lm_eval.models.openai_completions import LocalCompletionsAPI

from voxtwist.inference.server import READABLE, Server, answer_ids, request
from voxtwist.vocabulary import MODALITY_TOKENS, SpeechVocabulary, speech_token


class ServedLM(LocalCompletionsAPI):
    """lm-eval's `local-completions`: thinking is off, and text answers end where the text ends.

    Likelihoods are those that the server gives for a prompt (`echo` with `logprobs`; vLLM does,
    not every server). Of speech tokens it gives none, so no leaked mass is measured.

    Attributes:
        answer_prefix: see `UnitLM`.
    """

    def __init__(self, server: Server, checkpoint: Path, batch_size: int) -> None:
        super().__init__(
            base_url=f"{server.url}/completions",
            model=server.model,
            tokenizer=str(checkpoint),
            tokenizer_backend="huggingface",
            max_length=server.context,
            batch_size=batch_size,
            max_retries=1,
        )
        self.answer_prefix = ""
        self.vocabulary: SpeechVocabulary | None = None
        if speech_token(0) in self.tokenizer.get_added_vocab():
            self.vocabulary = SpeechVocabulary.from_tokenizer(self.tokenizer)

    def text_prefix(self) -> str:
        """See `UnitLM.text_prefix`."""
        if self.vocabulary is None or self.vocabulary.text_start is None:
            return ""
        self.answer_prefix = ""
        prompt = self.apply_chat_template([{"role": "user", "content": "Hello!"}])
        body = {"model": self.model, "prompt": self.tok_encode(prompt), "temperature": 0}
        answer = request("post", self.base_url, {**body, **READABLE, "max_tokens": 1})
        first = answer_ids(answer["choices"][0], self.tokenizer)[:1]
        return MODALITY_TOKENS[0] if first == [self.vocabulary.text_start] else ""

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        prompt: str = self.tokenizer.apply_chat_template(
            chat_history,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=not add_generation_prompt,
            enable_thinking=False,
        )
        return prompt + self.answer_prefix if add_generation_prompt else prompt

    def model_call(
        self, messages: Any, *, generate: bool = True, gen_kwargs: Any = None, **kwargs: Any
    ) -> dict[str, Any]:
        """One request; what goes wrong is told as everywhere, see `request`."""
        body = self._create_payload(
            self.create_message(messages),
            generate=generate,
            gen_kwargs=deepcopy(gen_kwargs),
            seed=self._seed,
            eos=self.eos_string,
            **kwargs,
        )
        return request("post", self.base_url, body)

    def _create_payload(self, messages: Any, generate: bool = False, **kwargs: Any) -> Any:
        body = super()._create_payload(messages, generate=generate, **kwargs)
        if generate and self.vocabulary:
            # In format v1 speech follows text without a mark: any code ends it.
            ends = MODALITY_TOKENS[1:3] if self.vocabulary.marks else [speech_token(0)[:4]]
            body |= {**READABLE, "stop": [*body["stop"], *ends]}
        return body

    def parse_generations(self, outputs: Any, **kwargs: Any) -> list[str]:
        """The answers' text, without control and speech tokens."""
        answers: list[str] = LocalCompletionsAPI.parse_generations(outputs)
        if self.vocabulary is None:
            return answers
        texts = []
        for answer in answers:
            ids = self.tok_encode(answer or "")
            text = [token for token in ids if token < self.vocabulary.text_size]
            texts.append(str(self.tokenizer.decode(text, skip_special_tokens=True)))
        return texts
