"""Generated questions about sums, differences, clock times, dates and weekdays.

The answers are made of some eighty words, so that a small model can learn on a CPU to say all of
them, and speech on answers that it never heard can be judged by ear.
"""

import random
from collections.abc import Callable, Collection

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
    "eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth",
    "eighteenth", "nineteenth", "twentieth",
]
# fmt: on
_WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_MONTHS = {
    "January": 31, "February": 28, "March": 31, "April": 30, "May": 31, "June": 30, "July": 31,
    "August": 31, "September": 30, "October": 31, "November": 30, "December": 31,
}  # fmt: skip


def cardinal(number: int) -> str:
    """0 to 99 in words: 42 is "forty two"."""
    if number < 20:
        return _UNITS[number]
    tens, unit = divmod(number, 10)
    return _TENS[tens - 2] + (f" {_UNITS[unit]}" if unit else "")


def ordinal(number: int) -> str:
    """1 to 31 in words: 21 is "twenty first"."""
    if number <= 20:
        return _ORDINALS[number - 1]
    if number == 30:
        return "thirtieth"
    return f"{_TENS[number // 10 - 2]} {_ORDINALS[number % 10 - 1]}"


def _sum(random: random.Random) -> tuple[str, str]:
    a, b = random.randint(1, 20), random.randint(1, 20)
    ask = random.choice(["What is {} plus {}?", "How much is {} plus {}?", "Add {} and {}."])
    return ask.format(a, b), f"{cardinal(a)} plus {cardinal(b)} is {cardinal(a + b)}"


def _difference(random: random.Random) -> tuple[str, str]:
    a, b = random.randint(2, 20), random.randint(1, 20)
    a, b = max(a, b), min(a, b)
    ask = random.choice(["What is {} minus {}?", "How much is {} minus {}?"])
    return ask.format(a, b), f"{cardinal(a)} minus {cardinal(b)} is {cardinal(a - b)}"


def _time(random: random.Random) -> tuple[str, str]:
    hour, minute = random.randint(1, 12), random.randint(10, 59)
    ask = random.choice(["What time is it at {}:{}?", "The clock shows {}:{}. Say it."])
    return ask.format(hour, minute), f"it is {cardinal(hour)} {cardinal(minute)}"


def _date(random: random.Random) -> tuple[str, str]:
    month = random.choice(list(_MONTHS))
    day = random.randint(1, _MONTHS[month] - 1)
    ask = random.choice(["What date comes after {} {}?", "It is {} {}. What date is tomorrow?"])
    return ask.format(month, day), f"{month} {ordinal(day + 1)}"


def _weekday(random: random.Random) -> tuple[str, str]:
    days, start = random.randint(2, 20), random.randrange(7)
    end = _WEEKDAYS[(start + days) % 7]
    question = f"Which day is {days} days after {_WEEKDAYS[start]}?"
    return question, f"{cardinal(days)} days after {_WEEKDAYS[start]} is {end}"


# Times and dates twice: they have the most answers and the fewest words in each.
_KINDS: list[Callable[[random.Random], tuple[str, str]]] = [
    _time, _date, _sum, _time, _difference, _date, _weekday,
]  # fmt: skip


def numbers(count: int, seed: int, leave_out: Collection[str] = ()) -> list[tuple[str, str]]:
    """`count` pairs with answers of 2 to 7 words, all answers different, the kinds in turn.

    Args:
        leave_out: answers that must not come.

    Raises:
        VoxtwistError: the kinds do not have that many different answers.
    """
    generator = random.Random(seed)
    pairs: dict[str, str] = {}
    # A kind that has nothing new to say is drawn in vain: the bound ends the search.
    for draw in range(20 * count):
        question, answer = _KINDS[draw % len(_KINDS)](generator)
        answer = f"{answer[0].upper()}{answer[1:]}."
        if answer not in leave_out:
            pairs.setdefault(answer, question)
        if len(pairs) == count:
            return [(question, answer) for answer, question in pairs.items()]
    raise VoxtwistError(f"corpus.numbers is {count}: there are only about {len(pairs)} answers")
