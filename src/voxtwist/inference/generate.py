"""Batched generation of spoken answers."""

from collections.abc import Sequence
from typing import Any

import torch
from tqdm import tqdm
from transformers import (
    GenerationConfig,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from voxtwist.inference.legal_tokens import FRAME_RATE_HZ, LegalTokens
from voxtwist.params import Generate
from voxtwist.vocabulary import ChatFormat, Spoken, parse_generated


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    questions: Sequence[str],
    settings: Generate,
    seed: int,
    progress: bool = True,
) -> list[Spoken]:
    """Answer questions in batches; the same seed and batch size give the same answers on a CPU.

    Args:
        settings: temperature 0 is greedy; `constrained` allows only legal tokens in each span.

    Returns:
        One answer a question, in order. Free answers that are not well formed say what is wrong.
    """
    chat = ChatFormat.from_tokenizer(tokenizer)
    prompts = [chat.prompt_ids(question) for question in questions]
    longest = settings.max_text_tokens + round(settings.max_speech_seconds * FRAME_RATE_HZ) + 5
    config = GenerationConfig(
        max_new_tokens=longest,
        do_sample=settings.temperature > 0,
        temperature=settings.temperature or None,
        top_p=settings.top_p if settings.temperature else None,
        top_k=settings.top_k if settings.temperature else None,
        repetition_penalty=settings.repetition_penalty,
        eos_token_id=chat.vocabulary.im_end,
        pad_token_id=chat.vocabulary.im_end,
    )
    torch.manual_seed(seed)
    # Prompts of like length share a batch: less padding.
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    answers: dict[int, Spoken] = {}
    bar = tqdm(total=len(prompts), desc="generating", unit="answer", disable=not progress)
    for start in range(0, len(order), settings.batch_size):
        chosen = order[start : start + settings.batch_size]
        for i, ids in zip(
            chosen,
            _batch(model, tokenizer, [prompts[i] for i in chosen], config, settings),
            strict=True,
        ):
            answers[i] = parse_generated(ids, chat.vocabulary, tokenizer)
        bar.update(len(chosen))
    bar.close()
    return [answers[i] for i in range(len(prompts))]


@torch.inference_mode()
def _batch(
    model: Any,
    tokenizer: PreTrainedTokenizerFast,
    prompts: list[list[int]],
    config: GenerationConfig,
    settings: Generate,
) -> list[list[int]]:
    width = max(map(len, prompts))
    ids = torch.full((len(prompts), width), config.pad_token_id)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):  # padded on the left: the answer grows to the right
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        mask[row, width - len(prompt) :] = 1
    processors = LogitsProcessorList()
    if settings.constrained:
        processors.append(LegalTokens(tokenizer, width, settings))
    out = model.generate(
        ids.to(model.device),
        attention_mask=mask.to(model.device),
        generation_config=config,
        logits_processor=processors,
    )
    return out[:, width:].tolist()
