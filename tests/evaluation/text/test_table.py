"""Tables of text questions compared in pairs, by task, group and answer filter."""

import pytest

from voxtwist.errors import VoxtwistError
from voxtwist.evaluation.text.table import compare_text, questions_digest


def row(task: str, doc_id: int, **metrics: float) -> dict[str, object]:
    return {
        "suite": "redux", "groups": ["redux"], "task": task, "doc_id": doc_id,
        "doc_hash": f"{task}{doc_id}", "metrics": metrics,
    }  # fmt: skip


def table(*right: int) -> list[dict[str, object]]:
    """Two questions of each of two tasks."""
    asked = [("anatomy", 0), ("anatomy", 1), ("law", 0), ("law", 1)]
    return [row(*question, acc=value) for question, value in zip(asked, right, strict=True)]


def test_tasks_and_groups_are_compared_question_by_question() -> None:
    after = table(1, 0, 1, 1)
    compared = compare_text(table(1, 1, 0, 0), after[::-1], resamples=100)
    assert compared.keys() == {"anatomy/acc", "law/acc", "redux/acc"}
    group = compared["redux/acc"]
    assert (group.before, group.after, group.n) == (0.5, 0.75, 4)
    assert (group.gained, group.lost) == (2, 1)
    assert compared["anatomy/acc"].difference == -0.5
    assert compared["law/acc"].difference == 1


def test_filters_of_one_question_are_kept_apart() -> None:
    def both(default: int, strict: int) -> list[dict[str, object]]:
        return [
            row("anatomy", 0, **{"exact_match/default": default}),
            row("anatomy", 0, **{"exact_match/strict": strict}),
        ]

    compared = compare_text(both(1, 0), both(1, 1), resamples=10)
    assert compared["anatomy/exact_match/default"].difference == 0
    assert compared["anatomy/exact_match/strict"].difference == 1


def test_metrics_that_are_not_right_or_wrong_are_left_out() -> None:
    before, after = [row("wiki", 0, bleu=0.3, acc=1)], [row("wiki", 0, bleu=0.4, acc=1)]
    assert compare_text(before, after, resamples=10).keys() == {"wiki/acc", "redux/acc"}


def test_other_questions_are_refused() -> None:
    changed = table(1, 1, 1, 1)
    changed[2]["doc_hash"] = "another wording"
    with pytest.raises(VoxtwistError, match="not asked the same questions"):
        compare_text(table(1, 1, 1, 1), changed, resamples=10)


def test_the_digest_is_of_the_questions_alone() -> None:
    assert questions_digest(table(1, 0, 0, 0)) == questions_digest(table(0, 1, 1, 1)[::-1])
    assert questions_digest(table(1, 0, 0, 0)) != questions_digest(table(1, 0, 0, 0)[:3])
