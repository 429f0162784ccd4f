"""Constrained answers are well formed whatever the model; batches do not change them."""

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from voxtwist.inference.generate import generate, longest_answer
from voxtwist.inference.legal_tokens import LegalTokens, longest_speech
from voxtwist.model.base import load_model
from voxtwist.vocabulary import ChatFormat, SpeechVocabulary, extend_tokenizer

QUESTIONS = ["Hi?", "What is 7 plus 5, and why do you think so?", "Say it.", "And now?"]


@pytest.fixture(scope="module")
def speaker(tiny_twist):
    return load_model(tiny_twist), AutoTokenizer.from_pretrained(tiny_twist)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_random_model_answers_in_form_within_the_limits(speaker, generation, temperature):
    for answer in generate(*speaker, QUESTIONS, generation(temperature=temperature), 50, 0, False):
        assert answer.well_formed, answer.problem
        assert 1 <= len(answer.codes) <= 10
        assert answer.text


@pytest.mark.parametrize(("rate", "codes"), [(50, 10), (25, 5), (1, 1)])
def test_speech_ends_after_its_seconds_at_the_codecs_rate(speaker, generation, rate, codes):
    """A model that never ends its speech by itself says `max_speech_seconds` (0.2 here) of it."""
    model, tokenizer = speaker
    legal = LegalTokens(tokenizer, 0, generation(), rate)
    assert legal.max_speech == codes
    assert longest_answer(generation(), rate) == 6 + codes + 5
    for answer in generate(model, tokenizer, QUESTIONS, generation(), rate, 0, False):
        assert answer.well_formed and len(answer.codes) <= codes
    assert longest_speech(generation(max_speech_seconds=6.0), 25) == 150


def test_batched_answers_are_the_single_ones(speaker, generation):
    together = generate(*speaker, QUESTIONS, generation(), 50, 0, False)
    single = generate(*speaker, QUESTIONS, generation(batch_size=1), 50, 0, False)
    for one, other in zip(together, single, strict=True):
        assert one.text == other.text
        assert one.codes.tolist() == other.codes.tolist()


def test_the_seed_decides_sampled_answers(speaker, generation):
    def texts(seed):
        return [
            a.text
            for a in generate(*speaker, QUESTIONS, generation(temperature=1.0), 50, seed, False)
        ]

    assert texts(1) == texts(1) != texts(2)


def test_free_answers_say_what_is_wrong(speaker, generation):
    answers = generate(*speaker, QUESTIONS, generation(constrained=False), 50, 0, False)
    assert all(not answer.well_formed and answer.problem for answer in answers)


@pytest.mark.parametrize("fmt", ["v1", "v1.1"])
def test_every_training_answer_is_legal(smollm2_tokenizer, generation, fmt):
    tokenizer = extend_tokenizer(smollm2_tokenizer, 8, fmt)
    vocabulary = SpeechVocabulary.from_tokenizer(tokenizer)
    chat = ChatFormat.from_tokenizer(tokenizer)
    sample = chat.encode_batch(["Q?"], ["It is five."], [np.array([3, 3, 7])])[0]
    answer = sample.input_ids[len(chat.prompt_ids("Q?")) :].tolist()
    legal = LegalTokens(tokenizer, 2, generation(), 50)
    for place, token in enumerate([*answer, vocabulary.im_end]):
        ids = torch.tensor([[0, 0, *answer[:place]]])
        scores = legal(ids, torch.zeros(1, vocabulary.size + 3))  # rows that pad the embedding too
        assert scores[0, token] == 0, (place, token)
        assert scores[0, vocabulary.size :].isinf().all()
    assert scores.isfinite().sum() == 1  # behind the end there is only padding


@pytest.mark.parametrize("fmt", ["v1", "v1.1"])
def test_rows_of_a_batch_stand_in_different_places(smollm2_tokenizer, generation, fmt):
    tokenizer = extend_tokenizer(smollm2_tokenizer, 8, fmt)
    v = SpeechVocabulary.from_tokenizer(tokenizer)
    word, code = 500, v.code_offset
    spoken = [word, word, code, code] if v.marks is None else [*v.marks[:1], word, *v.marks[1:3]]
    written = [*(v.marks or [word])[:1], word, word, word]
    legal = LegalTokens(tokenizer, 0, generation(), 50)
    together = legal(torch.tensor([spoken, written]), torch.zeros(2, v.size))
    for row, answer in zip(together, (spoken, written), strict=True):
        assert torch.equal(row, legal(torch.tensor([answer]), torch.zeros(1, v.size))[0])
    assert together[:, word].tolist() == [-torch.inf, 0]
    assert together[0, code] == 0
