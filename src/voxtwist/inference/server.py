"""A checkpoint behind a server with OpenAI's completions API, such as vLLM."""

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from transformers import PreTrainedTokenizerFast

from voxtwist.errors import VoxtwistError
from voxtwist.params import Generate
from voxtwist.vocabulary.tokens import END_OF_TURN

TIMEOUT = (10, 600)  # seconds to connect, and for an answer
# vLLM's own settings, which other servers ignore: modality marks are special tokens, and a space
# between two codes would be text inside speech.
READABLE = {
    "skip_special_tokens": False,
    "spaces_between_special_tokens": False,
    "return_token_ids": True,
}
Prompt = Sequence[int]


@dataclass(frozen=True)
class Server:
    """Generates with a running server; its answers are free, for logits never leave it.

    Attributes:
        url: up to `/v1`.
        model: the name by which the server knows the checkpoint.
        context: tokens that a prompt and its answer may have together.
    """

    url: str
    model: str
    context: int

    @classmethod
    def connect(cls, url: str, checkpoint: Path) -> "Server":
        """Find a checkpoint among what a server serves: by its path, which vLLM takes as name.

        Raises:
            VoxtwistError: the server does not answer, or serves something else.
        """
        url = url.rstrip("/")
        models = request("get", f"{url}/models").get("data") or []
        served = [model for model in models if _is(model, checkpoint)]
        if not served:
            names = ", ".join(str(model.get("id")) for model in models) or "nothing"
            raise VoxtwistError(
                f"{url} serves {names}, not {checkpoint}: start it with `vllm serve {checkpoint}`, "
                f"or with --served-model-name {checkpoint}"
            )
        config = json.loads((checkpoint / "config.json").read_bytes())
        context = served[0].get("max_model_len") or config["max_position_embeddings"]
        return cls(url, str(served[0]["id"]), context)

    def complete(
        self,
        prompts: Sequence[Prompt],
        tokenizer: PreTrainedTokenizerFast,
        settings: Generate,
        max_tokens: int,
        seed: int,
    ) -> Iterator[list[int]]:
        """The ids that follow each prompt, in order, `settings.batch_size` prompts at a time.

        Prompt n is drawn with `seed` + n: answers do not depend on what shares their batch.

        Raises:
            VoxtwistError: the server is gone, or refuses a prompt.
        """
        sampling = self._sampling(settings, max_tokens)

        def one(number: int) -> list[int]:
            body = {**sampling, "prompt": list(prompts[number]), "seed": seed + number}
            answer = request("post", f"{self.url}/completions", body)
            try:
                return answer_ids(answer["choices"][0], tokenizer)
            except (KeyError, IndexError):
                raise VoxtwistError(f"{self.url} sent no completion: {answer}") from None

        pool = ThreadPoolExecutor(settings.batch_size)
        try:
            yield from pool.map(one, range(len(prompts)))
        finally:
            pool.shutdown(cancel_futures=True)

    def _sampling(self, settings: Generate, max_tokens: int) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.model,
            "max_tokens": max_tokens,
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "stop": [END_OF_TURN],
            **READABLE,
        }
        if settings.top_k:
            body["top_k"] = settings.top_k
        if settings.repetition_penalty != 1:
            body["repetition_penalty"] = settings.repetition_penalty
        return body


def answer_ids(choice: dict[str, Any], tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """Ids of one of a completion's choices; ``<|im_end|>`` is the last of one that has ended.

    Newer vLLM returns the ids. Of other servers the text is read, in which a word that merely looks
    like a control token is taken for one.
    """
    ids: list[int] | None = choice.get("token_ids")
    if ids is None:
        ids = tokenizer(choice["text"], add_special_tokens=False).input_ids
    end: int = tokenizer.get_added_vocab()[END_OF_TURN]
    ended = choice.get("finish_reason") == "stop"
    return [*ids, end] if ended and end not in ids else ids


def request(method: str, url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """What the server answers, as JSON; it is given the key of OPENAI_API_KEY, if there is one.

    Raises:
        VoxtwistError: it does not answer, or refuses, with its reason.
    """
    key = os.environ.get("OPENAI_API_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        response = requests.request(method, url, json=body, headers=headers, timeout=TIMEOUT)
        answer = response.json()
    except requests.JSONDecodeError:
        raise VoxtwistError(
            f"{url} answers with {response.status_code} and no JSON: is it a server with OpenAI's "
            "API, and does its address end in /v1?"
        ) from None
    except requests.RequestException as error:
        kind = type(error).__name__
        raise VoxtwistError(
            f"{url} does not answer ({kind}): start the server, or name none (server: null) to "
            "generate here"
        ) from None
    if not response.ok:
        raise VoxtwistError(f"{url} answers with {response.status_code}: {_reason(answer)}")
    if not isinstance(answer, dict):
        raise VoxtwistError(f"{url} answers with a list: it has not OpenAI's API")
    return answer


def _is(model: dict[str, Any], checkpoint: Path) -> bool:
    names = {str(model.get("id")), str(model.get("root"))}
    return bool(names & {str(checkpoint), str(checkpoint.resolve())})


def _reason(answer: Any) -> str:
    """What the server says is wrong: OpenAI's form, or vLLM's older one."""
    if isinstance(answer, dict):
        error = answer.get("error", answer)
        return str(error.get("message", error) if isinstance(error, dict) else error)
    return str(answer)
