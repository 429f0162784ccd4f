"""The probability that leaks from text to speech, against a computation by hand."""

from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from voxtwist.evaluation.speech.leak import measure_leak
from voxtwist.model.base import load_model
from voxtwist.vocabulary import ChatFormat, SpeechVocabulary


def test_mass_is_that_of_a_pass_over_each_answer_alone(tiny_twist: Path) -> None:
    model, tokenizer = load_model(tiny_twist), AutoTokenizer.from_pretrained(tiny_twist)
    vocabulary = SpeechVocabulary.from_tokenizer(tokenizer)
    questions = ["Hi?", "What is 7 plus 5, and why?"]
    texts = ["It is twelve, I think.", "Hello."]
    leaks = measure_leak(model, tokenizer, questions, texts, batch_size=2)
    chat = ChatFormat.from_tokenizer(tokenizer)
    for question, text, leak in zip(questions, texts, leaks, strict=True):
        prompt = [*chat.prompt_ids(question), vocabulary.text_start]
        answer = tokenizer.encode(text, add_special_tokens=False)
        assert leak.tokens == len(answer)
        with torch.no_grad():
            probabilities = model(torch.tensor([prompt + answer])).logits[0].softmax(dim=-1)
        speech = range(vocabulary.code_offset, vocabulary.code_offset + 32)
        mass = sum(
            float(probabilities[len(prompt) - 1 + place, code])
            for place in range(len(answer))
            for code in speech
        )
        assert leak.mass == pytest.approx(mass, rel=1e-4)
        assert 0 < leak.mass < leak.tokens


def test_an_answer_without_text_leaks_nothing(tiny_twist: Path) -> None:
    model, tokenizer = load_model(tiny_twist), AutoTokenizer.from_pretrained(tiny_twist)
    (leak,) = measure_leak(model, tokenizer, ["Hi?"], [""], batch_size=1)
    assert (leak.mass, leak.tokens) == (0, 0)
