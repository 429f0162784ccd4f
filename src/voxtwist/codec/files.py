"""Files of speech tokens.

One utterance is a JSON list `[17, 3, ...]` or an object `{"speech_tokens": [17, 3, ...]}`; a
`.jsonl` file holds one of either a line. Objects written here also say whose codes they are:
`{"codec": "cosyvoice", "frame_rate_hz": 50, "vocab_size": 4096, "speech_tokens": [...]}`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from torch import Tensor

from voxtwist.codec.base import SpeechCodec
from voxtwist.codec.origin import Origin
from voxtwist.errors import VoxtwistError


@dataclass(frozen=True)
class SpeechTokens:
    """One utterance of a file.

    Attributes:
        codes: int64 (T,), not yet checked against a vocabulary.
        where: file and line, for messages.
        origin: whose codes they are, as far as the file says.
    """

    codes: np.ndarray
    where: str
    origin: Origin = field(default_factory=Origin)


def read_speech_tokens(path: Path) -> list[SpeechTokens]:
    """All utterances of a `.json` (one) or `.jsonl` file (one a line), at least one.

    Raises:
        VoxtwistError: no such file, not JSON, no utterance, or an utterance that is not a list of
            whole numbers from 0 up, or does not say properly whose codes it holds; the message
            names the line.
    """
    path = Path(path)
    try:
        text = path.read_bytes()
    except OSError as error:
        raise VoxtwistError(f"{path} cannot be read: {error.strerror}") from None
    if path.suffix.lower() != ".jsonl":
        return [_parse(text, str(path))]
    lines = enumerate(text.splitlines(), start=1)
    utterances = [_parse(line, f"{path} line {number}") for number, line in lines if line.strip()]
    if not utterances:
        raise VoxtwistError(f"{path} holds no utterance")
    return utterances


def write_speech_tokens(path: Path, utterances: Sequence[np.ndarray], codec: SpeechCodec) -> None:
    """Write one utterance as `.json`, or any number as `.jsonl`."""
    path = Path(path)
    lines = [
        orjson.dumps(
            {
                "codec": codec.name,
                "frame_rate_hz": codec.frame_rate_hz,
                "vocab_size": codec.vocab_size,
                "speech_tokens": check_codes(codes, codec.vocab_size, f"utterance {i}"),
            },
            option=orjson.OPT_SERIALIZE_NUMPY,
        )
        for i, codes in enumerate(utterances)
    ]
    if path.suffix.lower() != ".jsonl" and len(lines) != 1:
        raise VoxtwistError(f"{path}: {len(lines)} utterances are written as .jsonl")
    path.write_bytes(b"\n".join(lines) + b"\n")


def check_codes(
    codes: Sequence[int] | np.ndarray | Tensor, vocab_size: int, where: str
) -> np.ndarray:
    """Codes (T,) or (1, T) as an int64 array (T,).

    Raises:
        VoxtwistError: none at all, not whole numbers, or one outside ``[0, vocab_size)``.
    """
    array = np.asarray(codes)
    if array.ndim == 2 and array.shape[0] == 1:
        array = array[0]
    if array.size == 0:
        raise VoxtwistError(f"{where}: no speech tokens")
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise VoxtwistError(f"{where}: speech tokens must be one list of whole numbers")
    outside = np.flatnonzero((array < 0) | (array >= vocab_size))
    if len(outside):
        first = outside[0]
        raise VoxtwistError(
            f"{where}: speech token {array[first]} at position {first} is outside "
            f"0–{vocab_size - 1}. Give codes (0 for <|s_0|>), not vocabulary ids"
        )
    return array.astype(np.int64)


def _parse(text: bytes, where: str) -> SpeechTokens:
    try:
        value: Any = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise VoxtwistError(
            f"{where} is not JSON: {error}. One utterance a line needs a .jsonl file"
        ) from None
    origin = Origin()
    if isinstance(value, dict):
        origin = Origin.read(value, where)
        value = value.get("speech_tokens")
    # type(), as True is an int to isinstance.
    if not isinstance(value, list) or not all(type(code) is int for code in value):
        raise VoxtwistError(
            f'{where}: give a list of whole numbers, or {{"speech_tokens": [...]}} with one'
        )
    try:
        return SpeechTokens(np.array(value, np.int64), where, origin)
    except OverflowError:
        raise VoxtwistError(f"{where}: a speech token is too large to be a code") from None
