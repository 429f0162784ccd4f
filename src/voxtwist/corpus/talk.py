"""Generated talk about daily life: an open-ended set of sentences from a few hundred words.

Every word comes back in many sentences, so that a model that trains for minutes can learn to say
it; whole sentences are held out, so that what is judged was never heard.
"""

import random
import re
from collections.abc import Collection
from importlib.resources import files

import yaml

from voxtwist.errors import VoxtwistError

_SLOT = re.compile(r"\{([a-z]+)2?\}")


def talk(count: int, seed: int, leave_out: Collection[str] = ()) -> list[tuple[str, str]]:
    """`count` pairs of question and answer, all answers different, the patterns in turn.

    Args:
        leave_out: answers that must not come.

    Raises:
        VoxtwistError: the patterns do not have that many different answers.
    """
    text = (files("voxtwist.corpus") / "talk.yaml").read_text(encoding="utf-8")
    grammar = yaml.load(text, yaml.BaseLoader)  # all of it is text: `on` is a word
    patterns = grammar["patterns"]
    generator = random.Random(seed)
    pairs: dict[str, str] = {}
    # A pattern that has nothing new to say is drawn in vain: the bound ends the search.
    for draw in range(20 * count):
        questions, answer = patterns[draw % len(patterns)]
        question = generator.choice(questions)
        words = _draw_words(generator, question + answer, grammar["words"])
        said = _sentence(answer, words)
        if said not in leave_out:
            pairs.setdefault(said, _sentence(question, words))
        if len(pairs) == count:
            return [(question, answer) for answer, question in pairs.items()]
    raise VoxtwistError(f"corpus.talk is {count}: there are only about {len(pairs)} answers")


def _draw_words(generator: random.Random, text: str, words: dict[str, list[str]]) -> dict[str, str]:
    """A word for each slot of the text, and another one for its second mention."""
    drawn = {}
    for slot in dict.fromkeys(_SLOT.findall(text)):
        drawn[slot], drawn[f"{slot}2"] = generator.sample(words[slot], 2)
    return drawn


def _sentence(pattern: str, words: dict[str, str]) -> str:
    text = pattern.format_map(words)
    # A slot may begin a sentence.
    return re.sub(r"(^|[.?] )([a-z])", lambda start: start[1] + start[2].upper(), text)
