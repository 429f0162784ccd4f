"""Whose codes these are, as files of codes say it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from voxtwist.errors import VoxtwistError

if TYPE_CHECKING:
    from voxtwist.codec.base import SpeechCodec


@dataclass(frozen=True)
class Origin:
    """The codec that made some codes; None for what a file does not say.

    Attributes:
        codec: its name.
        frame_rate_hz: its codes per second.
        vocab_size: how many codes it has.
    """

    codec: str | None = None
    frame_rate_hz: int | None = None
    vocab_size: int | None = None

    @classmethod
    def of(cls, codec: SpeechCodec) -> Origin:
        return cls(codec.name, codec.frame_rate_hz, codec.vocab_size)

    @classmethod
    def read(cls, values: dict[str, object], where: str) -> Origin:
        """Read it from a JSON object or a file's metadata; other entries are ignored.

        Raises:
            VoxtwistError: a codec without a name, or a number that is not whole and positive.
        """
        codec = values.get("codec")
        if codec is not None and not isinstance(codec, str):
            raise VoxtwistError(f"{where}: codec must be a name, not {codec!r}")
        numbers = {}
        for name in ("frame_rate_hz", "vocab_size"):
            value = values.get(name)
            if isinstance(value, float) and value.is_integer():
                value = int(value)
            # type(), as True is an int to isinstance.
            if value is not None and (type(value) is not int or value < 1):
                raise VoxtwistError(
                    f"{where}: {name} must be a positive whole number, not {value!r}"
                )
            numbers[name] = value
        return cls(codec, **numbers)

    def refuse_unless(self, expected: Origin, where: str, whose: str) -> None:
        """Compare what both say.

        Args:
            where: of these codes, for the message.
            whose: what says `expected`, with its verb: "the settings say", "models/X has".

        Raises:
            VoxtwistError: they differ; the message names what differs, with both values.
        """
        parts = (
            ("{} codes", self.codec, expected.codec),
            ("{} codes per second", self.frame_rate_hz, expected.frame_rate_hz),
            ("a vocabulary of {} codes", self.vocab_size, expected.vocab_size),
        )
        for form, own, other in parts:
            if own is not None and other is not None and own != other:
                raise VoxtwistError(
                    f"{where} says {form.format(own)}, but {whose} {form.format(other)}: "
                    "codes mean something only with the codec that made them"
                )
