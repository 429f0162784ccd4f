"""What a tokenizer's chat template does to a question and an answer, found out by rendering it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

from voxtwist.errors import VoxtwistError
from voxtwist.vocabulary.text_encoder import TextEncoder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

# Sentinels that no template contains and every tokenizer keeps.
QUESTION, ANSWER = "VOXQUESTIONVOX", "VOXANSWERVOX"
_DATE = "VOXDATEVOX"
ASSISTANT = "<|im_start|>assistant\n"

# How templates are known to trim a message's content.
TRIMS: dict[str, Callable[[str], str]] = {
    "none": lambda text: text,
    "leading newlines": lambda text: text.lstrip("\n"),
    "both ends": lambda text: text.strip(),
}


def render(tokenizer: PreTrainedTokenizerFast, conversation: list[dict[str, str]]) -> str:
    """The template's text for a conversation with thinking disabled.

    Raises:
        VoxtwistError: the template is broken, or refuses a conversation that ends with an answer.
    """
    try:
        return str(
            tokenizer.apply_chat_template(conversation, tokenize=False, enable_thinking=False)
        )
    except TemplateError as error:
        raise VoxtwistError(f"the chat template cannot be rendered: {error}") from None


def messages(*contents: str) -> list[dict[str, str]]:
    """What user and assistant say in turn."""
    roles = ("user", "assistant")
    return [{"role": roles[i % 2], "content": text} for i, text in enumerate(contents)]


def refuse_dated(tokenizer: PreTrainedTokenizerFast) -> None:
    """Raises: VoxtwistError: the template writes today's date: prompts would change overnight."""
    # A macro of the template's own stands before the function that transformers provides.
    macro = f"{{%- macro strftime_now(format) -%}}{_DATE}{{%- endmacro -%}}"
    template: Any = tokenizer.chat_template
    single = template["default"] if isinstance(template, dict) else template
    rendered = tokenizer.apply_chat_template(
        messages(QUESTION, ANSWER),
        chat_template=macro + single,
        tokenize=False,
        enable_thinking=False,
    )
    if _DATE in str(rendered):
        raise VoxtwistError(
            "the chat template writes today's date, so that its prompts change overnight: put a "
            "fixed date in place of strftime_now(…) in the model folder's chat_template.jinja (or "
            "tokenizer_config.json)"
        )


def find_trim(tokenizer: PreTrainedTokenizerFast, sentinel: str) -> str:
    """Which of `TRIMS` the template applies to the content where `sentinel` stands."""
    rendered = render(tokenizer, messages(QUESTION, ANSWER))
    probe = f"\n \n{sentinel}\n \n"
    contents = {QUESTION: QUESTION, ANSWER: ANSWER} | {sentinel: probe}
    trimmed = render(tokenizer, messages(contents[QUESTION], contents[ANSWER]))
    for name, trim in TRIMS.items():
        if trimmed == rendered.replace(sentinel, trim(probe)):
            return name
    raise VoxtwistError(
        f"the chat template changes a message's text in a way that Voxtwist does not know: "
        f"{probe!r} becomes {trimmed!r}; it must keep it, strip it, or strip leading newlines"
    )


def split_at_control_tokens(text: str, control: Iterable[str]) -> list[str]:
    """Cuts text into control tokens and the stretches between them; empty stretches are left out.

    BPE merges inside a stretch but never across a control token.
    """
    longest_first = sorted(control, key=len, reverse=True)
    return [part for part in re.split(f"({'|'.join(map(re.escape, longest_first))})", text) if part]


def cut_first_stretch(literal: str, control: Iterable[str]) -> tuple[str, str]:
    """A literal as (what stands before its first control token, the rest)."""
    starts = [literal.find(token) for token in control if token in literal]
    start = min(starts, default=len(literal))
    return literal[:start], literal[start:]


def cut_last_stretch(literal: str, control: Iterable[str]) -> tuple[str, str]:
    """A literal as (everything up to its last control token, what stands behind that)."""
    ends = [literal.rfind(token) + len(token) for token in control if token in literal]
    end = max(ends, default=0)
    return literal[:end], literal[end:]


def plain_text_encoder(tokenizer: PreTrainedTokenizerFast) -> TextEncoder:
    """The same tokenizer without control tokens.

    Raises:
        VoxtwistError: a tokenizer whose own vocabulary still reaches a control token's id.
    """
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    state |= {"added_tokens": [], "truncation": None, "padding": None}
    plain = TextEncoder(json.dumps(state))
    control = tokenizer.get_added_vocab()
    control_ids = set(control.values())
    for token in control:
        if not control_ids.isdisjoint(plain.encode(token)):
            raise VoxtwistError(
                f"this tokenizer cannot tell a literal {token!r} in the data from the control "
                "token, because it is part of its own vocabulary: use another base model"
            )
    return plain
