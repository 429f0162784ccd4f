"""Short everyday questions and answers from the English part of PyPI's `chatterbot-corpus`."""

import random
import re
from importlib.util import find_spec
from pathlib import Path

import yaml

from voxtwist.data.groups import normalise
from voxtwist.errors import VoxtwistError

# Clean spoken English: letters, digits, spaces and the punctuation that a voice can read.
_CLEAN = re.compile(r"[A-Za-z][A-Za-z0-9 ,.;:'!?-]*")
# fmt: off
_ASKING = {
    "What", "Who", "Whom", "Whose", "Which", "When", "Where", "Why", "How",
    "Do", "Does", "Did", "Are", "Is", "Can", "Could",
}
# fmt: on
TRIVIA = "trivia"  # the topic that the text benchmark is made of
_ANSWER_WORDS = range(3, 15)
_QUESTION_WORDS = range(1, 21)


def conversations(topics: list[str] | None = None) -> list[tuple[str, str]]:
    """The opening line and the first reply of every conversation, in the package's order.

    Args:
        topics: names of the corpus' files ("trivia", "science", ...); None takes all of them.

    Raises:
        VoxtwistError: the package is not installed, or has no such topic.
    """
    spec = find_spec("chatterbot_corpus")
    if spec is None or spec.origin is None:
        raise VoxtwistError("the package chatterbot-corpus is not installed: run `make setup`")
    folder = Path(spec.origin).parent / "data" / "english"
    names = topics or sorted(file.stem for file in folder.glob("*.yml"))
    pairs = []
    for name in names:
        file = folder / f"{name}.yml"
        if not file.exists():
            raise VoxtwistError(f"chatterbot-corpus has no topic {name!r}")
        # All of it is text: "Yes" is an answer, and no boolean.
        talks = yaml.load(file.read_text(encoding="utf-8"), yaml.BaseLoader)["conversations"]
        pairs += [(_one_line(turns[0]), _one_line(turns[1])) for turns in talks if len(turns) > 1]
    return pairs


def everyday(count: int, seed: int, leave_out: set[str]) -> list[tuple[str, str]]:
    """`count` clean pairs, no question twice with the same answer, none of those in `leave_out`.

    Questions with one answer come before the further answers that the corpus gives to some, and
    short answers before long ones: a small count is also quick to learn.

    Args:
        leave_out: normalised questions.

    Raises:
        VoxtwistError: the corpus holds fewer than `count` such pairs.
    """
    answers: dict[str, dict[str, tuple[str, str]]] = {}
    for question, answer in conversations():
        key = normalise(question)
        if key not in leave_out and _is_clean(question, answer):
            pair = (_sentence(question), _sentence(answer))
            answers.setdefault(key, {}).setdefault(normalise(answer), pair)
    ranked = [
        (rank, len(pair[1].split()), pair)
        for replies in answers.values()
        for rank, pair in enumerate(replies.values())
    ]
    if len(ranked) < count:
        raise VoxtwistError(
            f"corpus.everyday is {count}: the corpus holds only {len(ranked)} pairs"
        )
    random.Random(seed).shuffle(ranked)
    return [pair for _, _, pair in sorted(ranked, key=lambda entry: entry[:2])[:count]]


def unanswered_sentences() -> list[str]:
    """All different clean sentences of 3 to 25 words that no everyday answer is.

    Lines are taken apart into their sentences: there are few whole ones that no answer is.
    """
    answers = {normalise(pair[1]) for pair in conversations() if _is_clean(*pair)}
    pieces = {
        normalise(piece): _sentence(piece)
        for pair in conversations()
        for line in pair
        for piece in _pieces(line)
        if _CLEAN.fullmatch(piece) and len(piece.split()) in range(3, 26)
    }
    return [piece for key, piece in pieces.items() if key not in answers]


def _pieces(line: str) -> list[str]:
    """The sentences of a line, each with its mark, without quotes and brackets."""
    plain = re.sub(r'["()\[\]]', "", line)
    return [piece.strip() for piece in re.findall(r"[^.?!;:]+[.?!]?", plain)]


def _one_line(text: object) -> str:
    return " ".join(str(text).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").split())


def _is_clean(question: str, answer: str) -> bool:
    return (
        len(question.split()) in _QUESTION_WORDS
        and len(answer.split()) in _ANSWER_WORDS
        and _CLEAN.fullmatch(question) is not None
        and _CLEAN.fullmatch(answer) is not None
    )


def _sentence(text: str) -> str:
    """With a capital letter and a final mark."""
    text = text[0].upper() + text[1:]
    if text[-1] in ".!?":
        return text
    return text.rstrip(" ,-'") + ("?" if text.split()[0] in _ASKING else ".")


def trivia_questions() -> set[str]:
    """The normalised questions that no training corpus may hold: the text benchmark asks them."""
    return {normalise(question) for question, _ in conversations([TRIVIA])}
