"""Stock `generate()`, without any code of ours, speaks what a training has taught."""

import itertools

import numpy as np
import orjson
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from voxtwist import params
from voxtwist.data.index import TokenIndex
from voxtwist.model.base import load_model
from voxtwist.training.batches import read_batch
from voxtwist.training.spoken_model import SpokenModel
from voxtwist.vocabulary import ChatFormat, SpeechVocabulary, parse_generated

SETTINGS = params.load().train
QUESTIONS = [f"Question {i}?" for i in range(20)]


@pytest.fixture(scope="module")
def taught(tiny_twist, tmp_path_factory):
    """A file of short answers: each its own four codes."""
    chat = ChatFormat.from_tokenizer(AutoTokenizer.from_pretrained(tiny_twist))
    codes = [np.array([i, i, 31 - i, i]) for i in range(len(QUESTIONS))]
    samples = chat.encode_batch(QUESTIONS, ["Yes."] * len(QUESTIONS), codes)
    lines = [
        orjson.dumps({"input_ids": s.input_ids.tolist(), "labels": s.labels.tolist()})
        for s in samples
    ]
    file = tmp_path_factory.mktemp("taught") / "train.jsonl"
    file.write_bytes(b"\n".join(lines) + b"\n")
    return read_batch(TokenIndex.open(file), np.arange(len(QUESTIONS)))


def train(twist, batch, restrict_speech, folder):
    """A checkpoint trained for some steps on rows that are as long as a real model's."""
    tokenizer, model = AutoTokenizer.from_pretrained(twist), load_model(twist)
    vocabulary = SpeechVocabulary.from_tokenizer(tokenizer)
    torch.manual_seed(0)
    with torch.no_grad():
        table = model.get_input_embeddings().weight
        table.normal_(0, 0.3)
    settings = SETTINGS.model_copy(
        update={"restrict_speech": restrict_speech, "freeze": "text_embeddings"}
    )
    module = SpokenModel(model, vocabulary, settings).train()
    learning = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=0.01)
    for _ in range(60):
        loss, _ = module(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learning, 1.0)
        optimizer.step()
        optimizer.zero_grad()
    module.save(module.state_dict(), folder, tokenizer)
    return folder


def malformed(checkpoint) -> float:
    """Share of the answers of plain transformers that are not well formed."""
    model = AutoModelForCausalLM.from_pretrained(checkpoint)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    vocabulary = SpeechVocabulary.from_tokenizer(tokenizer)
    wrong = 0
    for question in QUESTIONS:
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}],
            add_generation_prompt=True, return_tensors="pt", return_dict=True,
        )  # fmt: skip
        out = model.generate(**prompt, max_new_tokens=24, do_sample=False)
        answer = out[0, prompt["input_ids"].shape[1] :].tolist()
        wrong += not parse_generated(answer, vocabulary, tokenizer).well_formed
    return wrong / len(QUESTIONS)


@torch.no_grad()
def leaked(checkpoint, batch) -> float:
    """Mean probability of text ids where codes are due."""
    model = AutoModelForCausalLM.from_pretrained(checkpoint)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    first = SpeechVocabulary.from_tokenizer(tokenizer).code_offset
    mass = []
    for start, end in itertools.pairwise(batch.boundaries.tolist()):
        ids = batch.input_ids[:, start:end]
        due = ids[0, 1:] >= first
        mass.append(model(ids).logits[0, :-1][due].softmax(-1)[:, :first].sum(-1))
    return torch.cat(mass).mean().item()


@pytest.mark.slow
def test_a_tenth_with_the_whole_softmax_keeps_text_rows_down_where_speech_is_due(
    tiny_twist, taught, tmp_path
):
    tenth = train(tiny_twist, taught, 0.9, tmp_path / "tenth")
    assert malformed(tenth) <= 0.05
    never = train(tiny_twist, taught, 1.0, tmp_path / "never")
    assert leaked(tenth, taught) < 0.8 * leaked(never, taught)
