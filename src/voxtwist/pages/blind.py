"""A blind page: two models without names, in an order drawn for every question, and votes.

Which answer is whose stands in a key file beside the page, never in the page.
"""

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from voxtwist.errors import VoxtwistError
from voxtwist.files import write_json
from voxtwist.pages.comparison import Side, ask, shared_questions
from voxtwist.pages.page import write_page

Choice = Literal["A", "B", "even"]


@dataclass(frozen=True)
class Key:
    """What the page keeps secret.

    Attributes:
        comparison: names the page; votes carry it.
        models: name of each run.
        questions: for each question's id, its text, and the runs that are A and B.
    """

    comparison: str
    models: dict[str, str]
    questions: dict[str, dict[str, str]]


def key_path(page: Path) -> Path:
    return page.with_suffix(".key.json")


def write_blind(page: Path, sides: Sequence[Side], seed: int, served: bool = False) -> Key:
    """Write the page and, beside it, its key.

    Args:
        seed: of the order of questions and of the two answers to each.
        served: by `server.py`, which stores each vote; otherwise the browser does, and offers
            them as a file.

    Raises:
        VoxtwistError: not two different runs, or they have no question in common.
    """
    if len({side.run_id for side in sides}) != 2 or len(sides) != 2:
        raise VoxtwistError("--blind compares two models of different runs: name two")
    draw = random.Random(seed)
    questions = shared_questions(sides)
    draw.shuffle(questions)
    asked, secret = [], {}
    for number, question in enumerate(questions, start=1):
        order = list(sides)
        draw.shuffle(order)
        asked.append(ask(question, order))
        runs = {letter: side.run_id for letter, side in zip("AB", order, strict=True)}
        secret[f"q{number:03d}"] = {"question": question[2], **runs}
    key = Key(_name(secret), {side.run_id: side.name for side in sides}, secret)
    pairs = list(zip(secret, asked, strict=True))
    write_page(
        page,
        "blind.html.jinja",
        title=f"Blind comparison {key.comparison}",
        comparison=key.comparison,
        pairs=pairs,
        served=served,
    )
    write_json(asdict(key), key_path(page))
    return key


def read_key(path: Path) -> Key:
    """Raises VoxtwistError: it is not there, or is no key."""
    try:
        return Key(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise VoxtwistError(
            f"{path} is not the key of a blind page ({error}): `voxtwist compare --blind` writes "
            "it beside the page"
        ) from None


def _name(secret: dict[str, Any]) -> str:
    return hashlib.blake2b(json.dumps(secret).encode(), digest_size=6).hexdigest()
