"""Suites asked of a running server score as the same checkpoint does here."""

from pathlib import Path

import pytest

from by_heart import learn_by_heart
from completions_server import serving
from voxtwist.errors import VoxtwistError
from voxtwist.evaluation.text.evaluate import evaluate_text
from voxtwist.evaluation.text.served import ServedLM
from voxtwist.evaluation.text.unitlm import UnitLM
from voxtwist.inference.server import Server

QUESTION, ANSWER = "What is two plus two?", "It is four"


@pytest.fixture(scope="module")
def talker(tiny_twist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that has learnt answers by heart, with speech behind them."""
    folder = tmp_path_factory.mktemp("talker")
    questions, answers = [QUESTION, "Hello!"], [ANSWER, "Hello."]
    return learn_by_heart(tiny_twist, folder, questions, answers, [[5, 6, 7], [5]])


def test_multiple_choice_scores_the_same(talker: Path) -> None:
    with serving(talker) as running:
        options = {"limit": 3, "batch_size": 4}
        there = evaluate_text(talker, ["trivia"], server=running.url, **options)
    here = evaluate_text(talker, ["trivia"], device="cpu", **options)
    leaked = here.metrics.pop("trivia/leaked_mass")
    assert leaked >= 0
    assert there.metrics == here.metrics
    assert len(there.questions) == 3
    for one, other in zip(there.questions, here.questions, strict=True):
        assert one["prompt"] == other["prompt"]
        for said, ours in zip(one["response"], other["response"], strict=True):
            assert said[0] == pytest.approx(ours[0], abs=1e-3)
    assert there.details["server"] == running.url


@pytest.mark.parametrize("prefix", [True, False])
def test_text_answers_end_where_the_text_ends(talker: Path, prefix: bool) -> None:
    with serving(talker) as running:
        there = ServedLM(Server.connect(running.url, talker), talker, batch_size=2)
        here = UnitLM(str(talker), device="cpu")
        said = []
        for model in (there, here):
            found = model.text_prefix()
            assert found == "<text>"
            model.answer_prefix = found if prefix else ""
            prompt = model.apply_chat_template([{"role": "user", "content": QUESTION}])
            requests = [_Request((prompt, {"until": ["</s>"], "max_gen_toks": 20}))] * 2
            said.append(model.generate_until(requests))
    assert said[0] == said[1] == [ANSWER] * 2


def test_what_a_server_cannot_do_is_an_error(talker: Path, tmp_path: Path) -> None:
    with pytest.raises(VoxtwistError, match="tokens cannot be masked"):
        evaluate_text(
            talker, ["trivia"], limit=1, batch_size=1, mask_speech=True, server="http://localhost"
        )
    with (
        serving(talker, name="another") as running,
        pytest.raises(VoxtwistError, match="serves an"),
    ):
        evaluate_text(talker, ["trivia"], limit=1, batch_size=1, server=running.url)


class _Request:
    """What lm-eval hands to a model for one question."""

    def __init__(self, args: tuple[str, dict[str, object]]) -> None:
        self.args = args
