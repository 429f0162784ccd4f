"""Constrained answers are well formed whatever the model; batches do not change them."""

import numpy as np
import pytest
from transformers import AutoTokenizer

from voxtwist.inference.generate import generate
from voxtwist.inference.legal_tokens import LegalTokens
from voxtwist.model.base import load_model
from voxtwist.vocabulary import ChatFormat, SpeechVocabulary, extend_tokenizer

QUESTIONS = ["Hi?", "What is 7 plus 5, and why do you think so?", "Say it.", "And now?"]


@pytest.fixture(scope="module")
def speaker(tiny_twist):
    return load_model(tiny_twist), AutoTokenizer.from_pretrained(tiny_twist)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_random_model_answers_in_form_within_the_limits(speaker, generation, temperature):
    for answer in generate(*speaker, QUESTIONS, generation(temperature=temperature), 0, False):
        assert answer.well_formed, answer.problem
        assert 1 <= len(answer.codes) <= 10
        assert answer.text


def test_batched_answers_are_the_single_ones(speaker, generation):
    together = generate(*speaker, QUESTIONS, generation(), 0, False)
    single = generate(*speaker, QUESTIONS, generation(batch_size=1), 0, False)
    for one, other in zip(together, single, strict=True):
        assert one.text == other.text
        assert one.codes.tolist() == other.codes.tolist()


def test_the_seed_decides_sampled_answers(speaker, generation):
    def texts(seed):
        return [
            a.text for a in generate(*speaker, QUESTIONS, generation(temperature=1.0), seed, False)
        ]

    assert texts(1) == texts(1) != texts(2)


def test_free_answers_say_what_is_wrong(speaker, generation):
    answers = generate(*speaker, QUESTIONS, generation(constrained=False), 0, False)
    assert all(not answer.well_formed and answer.problem for answer in answers)


@pytest.mark.parametrize("fmt", ["v1", "v1.1"])
def test_every_training_answer_is_legal(smollm2_tokenizer, generation, fmt):
    tokenizer = extend_tokenizer(smollm2_tokenizer, 8, fmt)
    vocabulary = SpeechVocabulary.from_tokenizer(tokenizer)
    chat = ChatFormat.from_tokenizer(tokenizer)
    sample = chat.encode_batch(["Q?"], ["It is five."], [np.array([3, 3, 7])])[0]
    answer = sample.input_ids[len(chat.prompt_ids("Q?")) :].tolist()
    legal = LegalTokens(tokenizer, 0, generation())
    for place, token in enumerate(answer):
        allowed = {int(i) for ids in legal.following(answer[:place]) for i in [*as_list(ids)]}
        assert token in allowed, (place, token)
    assert legal.following(answer) == [vocabulary.im_end]


def as_list(ids):
    return [ids] if isinstance(ids, int) else ids.tolist()
