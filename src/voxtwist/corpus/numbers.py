"""Generated questions about sums, differences, comparisons, clock times, months and weekdays.

The answers are made of some sixty words, so that a small model can learn on a CPU to say all of
them, and speech on answers that it never heard can be judged by ear.
"""

import random
from collections.abc import Callable

from voxtwist.errors import VoxtwistError

# fmt: off
_UNITS = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_ORDINALS = [
    "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
    "eleventh", "twelfth",
]
# fmt: on
_WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_MONTHS = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
]  # fmt: skip


def cardinal(number: int) -> str:
    """0 to 99 in words: 42 is "forty two"."""
    if number < 20:
        return _UNITS[number]
    tens, unit = divmod(number, 10)
    return _TENS[tens - 2] + (f" {_UNITS[unit]}" if unit else "")


def ordinal(number: int) -> str:
    """1 to 12 in words."""
    return _ORDINALS[number - 1]


def _months(random: random.Random) -> tuple[str, str]:
    return _listed(random, "months", _MONTHS)


def _weekdays(random: random.Random) -> tuple[str, str]:
    return _listed(random, "days of the week", _WEEKDAYS)


def _listed(random: random.Random, what: str, names: list[str]) -> tuple[str, str]:
    a, b, c = random.sample(range(len(names)), 3)
    ask = random.choice(["Which {} are number {}, {} and {}?", "Name the {} {}, {} and {}."])
    return ask.format(what, a + 1, b + 1, c + 1), f"{names[a]} {names[b]} and {names[c]}"


def _sum(random: random.Random) -> tuple[str, str]:
    a, b = random.randint(1, 12), random.randint(1, 12)
    ask = random.choice(["What is {} plus {}?", "How much is {} plus {}?", "Add {} and {}."])
    return ask.format(a, b), f"{cardinal(a)} plus {cardinal(b)} is {cardinal(a + b)}"


def _difference(random: random.Random) -> tuple[str, str]:
    b, a = sorted(random.sample(range(1, 21), 2))
    ask = random.choice(["What is {} minus {}?", "How much is {} minus {}?"])
    return ask.format(a, b), f"{cardinal(a)} minus {cardinal(b)} is {cardinal(a - b)}"


def _time(random: random.Random) -> tuple[str, str]:
    hour, minute = random.randint(1, 12), random.randrange(10, 60, 5)
    ask = random.choice(["What time is it at {}:{}?", "The clock shows {}:{}. Say it."])
    return ask.format(hour, minute), f"it is {cardinal(hour)} {cardinal(minute)}"


def _date(random: random.Random) -> tuple[str, str]:
    month, day = random.choice(_MONTHS), random.randint(1, 11)
    ask = random.choice(["What date comes after {} {}?", "It is {} {}. What date is tomorrow?"])
    return ask.format(month, day), f"{month} {ordinal(day + 1)}"


def _weekday(random: random.Random) -> tuple[str, str]:
    days, start = random.randint(2, 12), random.randrange(7)
    end = _WEEKDAYS[(start + days) % 7]
    question = f"Which day is {days} days after {_WEEKDAYS[start]}?"
    return question, f"{cardinal(days)} days after {_WEEKDAYS[start]} is {end}"


def _comparison(random: random.Random) -> tuple[str, str]:
    less, more = sorted(random.sample(range(1, 21), 2))
    ask = random.choice(["Which is more, {} or {}?", "Is {} or {} the bigger number?"])
    question = ask.format(*random.sample([less, more], 2))
    return question, f"{cardinal(more)} is more than {cardinal(less)}"


# Of lists there are the most: nothing but the text says which name comes next, so that they teach
# to look at it.
_KINDS: list[Callable[[random.Random], tuple[str, str]]] = [
    _months, _time, _sum, _weekdays, _difference, _months, _date, _comparison, _weekday,
]  # fmt: skip


def numbers(count: int, seed: int) -> list[tuple[str, str]]:
    """`count` pairs with answers of 2 to 7 words, all answers different, the kinds in turn.

    Raises:
        VoxtwistError: the kinds do not have that many different answers.
    """
    generator = random.Random(seed)
    pairs: dict[str, tuple[str, str]] = {}
    # A kind that has nothing new to say is drawn in vain: the bound ends the search.
    for draw in range(20 * count):
        question, answer = _KINDS[draw % len(_KINDS)](generator)
        pairs.setdefault(answer, (question, f"{answer[0].upper()}{answer[1:]}."))
        if len(pairs) == count:
            return list(pairs.values())
    raise VoxtwistError(f"corpus.numbers is {count}: there are only about {len(pairs)} answers")
