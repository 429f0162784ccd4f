"""What each gate measures, and when it refuses."""

from dataclasses import replace

import pytest

from voxtwist.params import Promotion
from voxtwist.promotion.evidence import Evidence, Lock
from voxtwist.promotion.gates import Gate, all_gates

SETTINGS = Promotion(
    text_metrics=["trivia/acc"], text_margin=0.05, wer_margin=0.1, alpha=0.05,
    min_well_formed=0.95, max_runaway=0.05, no_overlap=["question"], bootstrap=1000,
)  # fmt: skip
LOCK = Lock("train", [])
OVERLAP = {"question": 0, "answer": 3}
TAGS = {"git.commit": "c0ffee", "git.dirty": "false", "md5.checkpoint": "abc.dir"}


def questions(right: int, of: int = 200) -> list[dict]:
    return [
        {"task": "trivia", "groups": [], "doc_id": i, "doc_hash": "", "metrics": {"acc": i < right}}
        for i in range(of)
    ]


def answers(errors: int, of: int = 40, well_formed: bool = True, prefix: str = "q") -> list[dict]:
    return [
        {"part": "numbers", "question": f"{prefix}{i}", "words": {"errors": errors, "length": 10},
         "well_formed": well_formed, "runaway": not well_formed}
        for i in range(of)
    ]  # fmt: skip


def evidence(right: int = 100, errors: int = 2, **changes: object) -> Evidence:
    made = Evidence("1", "0" * 32, questions(right), answers(errors), OVERLAP, TAGS)
    return replace(made, **changes)


def gate(name: str, candidate: Evidence, champion: Evidence | None, lock: Lock = LOCK) -> Gate:
    return {g.name: g for g in all_gates(candidate, champion, lock, SETTINGS)}[name]


def test_an_equal_model_passes_every_gate() -> None:
    assert all(g.passed for g in all_gates(evidence(), evidence(), LOCK, SETTINGS))


@pytest.mark.parametrize(("right", "passed"), [(100, True), (99, True), (91, False), (80, False)])
def test_text_must_be_shown_not_to_be_worse_by_the_margin(right: int, passed: bool) -> None:
    found = gate("text trivia/acc", evidence(right), evidence(100))
    assert found.passed is passed
    assert f"50.0% → {right / 200:.1%}" in found.measured


@pytest.mark.parametrize(("errors", "passed"), [(0, True), (2, True), (3, False), (5, False)])
def test_wer_must_be_shown_not_to_be_worse_by_the_margin(errors: int, passed: bool) -> None:
    found = gate("WER, held out", evidence(errors=errors), evidence(errors=2))
    assert found.passed is passed
    assert "in pairs" in found.measured


def test_wer_of_other_questions_is_compared_without_pairs() -> None:
    other = evidence(answers=answers(2, of=30, prefix="other "))
    found = gate("WER, held out", other, evidence())
    assert found.passed
    assert "other questions than the champion's" in found.measured


def test_other_text_questions_are_not_compared() -> None:
    found = gate("text trivia/acc", evidence(questions=questions(50, of=100)), evidence())
    assert found.passed is False
    assert "not asked the same questions" in found.measured


def test_without_a_champion_comparisons_are_skipped_and_the_rest_is_not() -> None:
    gates = all_gates(evidence(), None, LOCK, SETTINGS)
    assert [g.name for g in gates if g.passed is None] == ["text trivia/acc", "WER, held out"]
    assert "50.0%" in gates[0].measured
    assert "no champion to compare with" in gates[0].measured
    assert all(g.passed for g in gates[2:])


@pytest.mark.parametrize(
    ("name", "changes", "says"),
    [
        ("well formed", {"answers": answers(0, well_formed=False)}, "0.0%"),
        ("runaway", {"answers": answers(0, well_formed=False)}, "100.0%"),
        ("no train/eval overlap", {"overlap": {"question": 1, "answer": 0}}, "1 by question"),
        ("no train/eval overlap", {"overlap": None}, "no overlap in lineage/split.json"),
        ("clean work tree", {"tags": TAGS | {"git.dirty": "true"}}, "dirty at c0ffee"),
        ("clean work tree", {"tags": {}}, "no commit"),
        ("text trivia/acc", {"questions": None}, "has no text/questions.jsonl"),
        ("WER, held out", {"answers": None}, "has no speech/samples.jsonl"),
        ("text trivia/acc", {"questions": []}, "nothing was measured as trivia/acc"),
    ],
)
def test_each_gate_refuses_with_its_reason(name: str, changes: dict, says: str) -> None:
    found = gate(name, evidence(**changes), None)
    assert found.passed is False
    assert says in found.measured


@pytest.mark.parametrize(
    ("lock", "says"),
    [
        (Lock("train", ["src/model.py (train)"]), "changed since: src/model.py (train)"),
        (Lock(None, []), "does not name the checkpoint abc.dir"),
    ],
)
def test_a_lock_that_no_longer_tells_how_the_model_is_made(lock: Lock, says: str) -> None:
    found = gate("lock fresh", evidence(), None, lock)
    assert found.passed is False
    assert says in found.measured
