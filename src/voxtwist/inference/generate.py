"""Spoken answers: of many questions in batches, or of one prompt as it is generated."""

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
from transformers.generation.streamers import BaseStreamer

from voxtwist.inference.legal_tokens import LegalTokens, longest_speech
from voxtwist.inference.server import Server
from voxtwist.params import Generate
from voxtwist.vocabulary import (
    ChatFormat,
    Conversation,
    SpeechVocabulary,
    Spoken,
    parse_generated,
)


def generate(
    model: PreTrainedModel | Server,
    tokenizer: PreTrainedTokenizerFast,
    questions: Sequence[str | Conversation],
    settings: Generate,
    frame_rate_hz: int,
    seed: int,
    progress: bool = True,
) -> list[Spoken]:
    """Answer questions in batches; the same seed and batch size give the same answers on a CPU.

    Args:
        settings: temperature 0 is greedy; `constrained` allows only legal tokens in each span
            (of a local model; a server's answers are free).
        frame_rate_hz: of the codec that the model speaks, in codes per second.

    Returns:
        One answer a question, in order. Free answers that are not well formed say what is wrong.
    """
    chat = ChatFormat.from_tokenizer(tokenizer)
    prompts = [chat.prompt_ids(question) for question in questions]
    if isinstance(model, Server):
        longest = longest_answer(settings, frame_rate_hz)
        served = model.complete(prompts, tokenizer, settings, longest, seed)
        bar = tqdm(served, "generating", len(prompts), unit="answer", disable=not progress)
        return [parse_generated(ids, chat.vocabulary, tokenizer) for ids in bar]
    torch.manual_seed(seed)
    # Prompts of like length share a batch: less padding.
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    answers: dict[int, Spoken] = {}
    bar = tqdm(total=len(prompts), desc="generating", unit="answer", disable=not progress)
    for start in range(0, len(order), settings.batch_size):
        chosen = order[start : start + settings.batch_size]
        own = [prompts[i] for i in chosen]
        ids = _batch(model, tokenizer, own, settings, frame_rate_hz, chat.vocabulary)
        for i, answer in zip(chosen, ids, strict=True):
            answers[i] = parse_generated(answer, chat.vocabulary, tokenizer)
        bar.update(len(chosen))
    bar.close()
    return [answers[i] for i in range(len(prompts))]


def generate_streaming(
    model: PreTrainedModel | Server,
    tokenizer: PreTrainedTokenizerFast,
    prompt: list[int],
    settings: Generate,
    frame_rate_hz: int,
    seed: int,
    streamer: BaseStreamer,
) -> Spoken:
    """Answer one prompt; `streamer` is given its ids, and then the answer's, as they come.

    A server's answer comes as a whole.
    """
    vocabulary = SpeechVocabulary.from_tokenizer(tokenizer)
    if isinstance(model, Server):
        longest = longest_answer(settings, frame_rate_hz)
        (ids,) = model.complete([prompt], tokenizer, settings, longest, seed)
        for part in (prompt, *([token] for token in ids)):
            streamer.put(torch.tensor(part))
        streamer.end()
        return parse_generated(ids, vocabulary, tokenizer)
    torch.manual_seed(seed)
    (ids,) = _batch(model, tokenizer, [prompt], settings, frame_rate_hz, vocabulary, streamer)
    return parse_generated(ids, vocabulary, tokenizer)


def longest_answer(settings: Generate, frame_rate_hz: int) -> int:
    """Tokens of an answer whose text and speech are as long as they may be.

    Args:
        frame_rate_hz: of the codec, in codes per second.
    """
    marks_and_end = 5
    speech = longest_speech(settings, frame_rate_hz)
    return settings.max_text_tokens + speech + marks_and_end


def _config(settings: Generate, longest: int, im_end: int) -> GenerationConfig:
    return GenerationConfig(
        max_new_tokens=longest,
        do_sample=settings.temperature > 0,
        temperature=settings.temperature or None,
        top_p=settings.top_p if settings.temperature else None,
        top_k=settings.top_k if settings.temperature else None,
        repetition_penalty=settings.repetition_penalty,
        eos_token_id=im_end,
        pad_token_id=im_end,
    )


@torch.inference_mode()
def _batch(
    model: Any,
    tokenizer: PreTrainedTokenizerFast,
    prompts: list[list[int]],
    settings: Generate,
    frame_rate_hz: int,
    vocabulary: SpeechVocabulary,
    streamer: BaseStreamer | None = None,
) -> list[list[int]]:
    width = max(map(len, prompts))
    ids = torch.full((len(prompts), width), vocabulary.im_end)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):  # padded on the left: the answer grows to the right
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        mask[row, width - len(prompt) :] = 1
    processors = LogitsProcessorList()
    if settings.constrained:
        processors.append(LegalTokens(tokenizer, width, settings, frame_rate_hz))
    longest = longest_answer(settings, frame_rate_hz)
    out = model.generate(
        ids.to(model.device),
        attention_mask=mask.to(model.device),
        generation_config=_config(settings, longest, vocabulary.im_end),
        logits_processor=processors,
        streamer=streamer,
    )
    return out[:, width:].tolist()
