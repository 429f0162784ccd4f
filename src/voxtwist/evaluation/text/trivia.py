"""The embedded text benchmark: multiple choice from the trivia of PyPI's `chatterbot-corpus`.

The three wrong answers are the right answers of other questions of the same kind: a year stands
among years, a city among cities. The questions are never trained on: the corpus leaves them out.
"""

import random
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import yaml

from voxtwist.corpus.everyday import TRIVIA, conversations
from voxtwist.evaluation.normalise import normalise_speech

if TYPE_CHECKING:
    from datasets import DatasetDict

SEED = 42
_WRONG = 3


@dataclass(frozen=True)
class TriviaQuestion:
    """One question of the benchmark.

    Attributes:
        kind: what sort of answer it asks for.
        choices: four answers in random order.
        label: position of the right one.
    """

    question: str
    kind: str
    choices: list[str]
    label: int


def trivia(seed: int = SEED) -> list[TriviaQuestion]:
    """All questions, in the corpus' order; the seed draws the wrong answers and the order."""
    table = files("voxtwist.evaluation.text") / "tasks" / "trivia_kinds.yaml"
    kinds: dict[str, list[str]] = yaml.safe_load(table.read_bytes())
    kind_of = {
        normalise_speech(answer): kind for kind, answers in kinds.items() for answer in answers
    }
    everything = [answer for answers in kinds.values() for answer in answers]
    generator = random.Random(seed)
    questions = []
    for question, answer in conversations([TRIVIA]):
        kind = kind_of.get(normalise_speech(answer))
        if kind is not None:
            right = answer.rstrip(". ")
            choices = [right, *_wrong(generator, right, kinds[kind], everything)]
            generator.shuffle(choices)
            questions.append(TriviaQuestion(question, kind, choices, choices.index(right)))
    return questions


def load_trivia(**_: Any) -> "DatasetDict":
    """The benchmark as lm-eval's task `trivia` loads it (tasks/trivia.yaml)."""
    from datasets import Dataset, DatasetDict

    return DatasetDict(test=Dataset.from_list([asdict(question) for question in trivia()]))


def _wrong(generator: random.Random, right: str, alike: list[str], others: list[str]) -> list[str]:
    """Three different wrong answers, of the same kind as far as there are any."""
    wrong: dict[str, str] = {normalise_speech(right): right}
    for pool in (alike, others):
        for answer in generator.sample(pool, len(pool)):
            if len(wrong) <= _WRONG:
                wrong.setdefault(normalise_speech(answer), answer)
    return list(wrong.values())[1:]
