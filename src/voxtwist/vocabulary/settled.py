"""A chat template that asks, called without options, what was trained."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from voxtwist.errors import VoxtwistError
from voxtwist.vocabulary.template import ANSWER, ASSISTANT, QUESTION, messages, render

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

# Thinking is off, and the base's template never writes the prompt: what follows it does.
_BEFORE = (
    "{% set enable_thinking = false %}"
    "{% set voxtwist_asks = add_generation_prompt is defined and add_generation_prompt %}"
    "{% set add_generation_prompt = false %}"
)
_AFTER = "{% if voxtwist_asks %}{{ PROMPT }}{% endif %}"


def settle_template(tokenizer: PreTrainedTokenizerFast) -> None:
    """Changes the template where its own generation prompt is not what stands before an answer.

    Qwen3's has the empty thinking block only where ``enable_thinking=False`` is passed, which no
    server does by itself; later ones never have it. Other templates stay as they are.

    Raises:
        VoxtwistError: the template cannot be mended in this way.
    """
    rendered = render(tokenizer, messages(QUESTION, ANSWER))
    trained, found, _ = rendered.partition(ANSWER)
    start = trained.rfind(ASSISTANT)
    if not found or start < 0 or _asked(tokenizer) == trained:  # what is no ChatML is refused later
        return
    template: Any = tokenizer.chat_template
    single = template["default"] if isinstance(template, dict) else template
    prompt = json.dumps(trained[start:], ensure_ascii=False)  # also a string of Jinja's
    settled = _BEFORE + single.removesuffix("\n") + _AFTER.replace("PROMPT", prompt)
    tokenizer.chat_template = (
        template | {"default": settled} if isinstance(template, dict) else settled
    )
    if _asked(tokenizer) != trained or render(tokenizer, messages(QUESTION, ANSWER)) != rendered:
        raise VoxtwistError(
            f"the chat template renders an answer after {trained!r}, but does not ask for one in "
            "this way: take another base model"
        )


def _asked(tokenizer: PreTrainedTokenizerFast) -> str:
    """The template's prompt for one question, as a server that passes no options asks."""
    return str(
        tokenizer.apply_chat_template(
            messages(QUESTION), tokenize=False, add_generation_prompt=True
        )
    )
