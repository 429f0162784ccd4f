"""The multiple-choice benchmark built from the bundled trivia."""

from voxtwist.corpus.everyday import everyday, trivia_questions
from voxtwist.data.groups import normalise
from voxtwist.evaluation.normalise import normalise_speech as normalise_answer
from voxtwist.evaluation.text.trivia import load_trivia, trivia


def test_four_different_choices_of_which_one_is_the_corpus_answer() -> None:
    questions = trivia()
    assert len(questions) >= 200
    for question in questions:
        assert len({normalise_answer(choice) for choice in question.choices}) == 4
    right = {question.question: question.choices[question.label] for question in questions}
    assert right["Who was the 37th President of the United States?"] == "Richard Nixon"
    assert right["In what year was the first ever Wimbledon Championship held?"] == "1877"
    assert right["What is the name of the nearest major galaxy to the Milky Way?"] == (
        "The Andromeda Galaxy"
    )


def test_wrong_answers_are_of_the_same_kind() -> None:
    for question in trivia():
        if question.kind == "year":
            assert all(choice.isdigit() and len(choice) == 4 for choice in question.choices)
        if question.kind == "colour":
            assert set(question.choices) <= {"Brown", "Green", "Yellow", "Black", "Purple", "Red"}


def test_the_seed_fixes_the_benchmark() -> None:
    assert trivia() == trivia()
    assert trivia(seed=1) != trivia(seed=2)


def test_the_right_answer_stands_anywhere() -> None:
    labels = [question.label for question in trivia()]
    assert all(labels.count(place) > len(labels) / 8 for place in range(4))


def test_no_question_is_left_for_training() -> None:
    left_out = trivia_questions()
    assert {normalise(question.question) for question in trivia()} <= left_out
    trained = {normalise(question) for question, _ in everyday(300, 42, left_out)}
    assert trained.isdisjoint(left_out)


def test_lm_eval_gets_all_questions() -> None:
    rows = load_trivia(pretrained="ignored")["test"]
    assert len(rows) == len(trivia())
    assert rows[0]["choices"][rows[0]["label"]] == "Richard Nixon"
