"""A conversation with a model: what was said, and the files that its speech went into."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from voxtwist import params
from voxtwist.codec.audio import write_audio
from voxtwist.codec.files import write_speech_tokens
from voxtwist.codec.loading import load_codec
from voxtwist.errors import VoxtwistError
from voxtwist.files import write_json
from voxtwist.inference.speaker import Speaker


@dataclass(frozen=True)
class Exchange:
    """A question and its answer.

    Attributes:
        seconds: of speech; 0 for an answer without.
        audio, tokens: files of the speech and of its codes; None without.
        problem: what is wrong with the answer's form; None when it is well formed.
    """

    question: str
    text: str
    seconds: float
    audio: str | None
    tokens: str | None
    problem: str | None
    codes: np.ndarray = field(repr=False)

    def as_row(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if name != "codes"}


class Chat:
    """Asks a `Speaker` one question after the other.

    Attributes:
        settings, seed: of the next answer; turn n is drawn with `seed` + n.
        turns: what was said so far.
    """

    def __init__(
        self,
        speaker: Speaker,
        codec: params.Codec,
        settings: params.Generate,
        seed: int,
        output: Path,
    ) -> None:
        """Args: output: folder for `answer-001.wav` and `answer-001.json`, its codes."""
        self.speaker, self.settings, self.seed, self.output = speaker, settings, seed, output
        self.turns: list[Exchange] = []
        self._codec = codec

    def ask(
        self, question: str, on_text: Callable[[str], None], on_codes: Callable[[int], None]
    ) -> Exchange:
        """Answer, and write the speech; callbacks as of `Speaker.answer`.

        Raises:
            VoxtwistError: the question is too long, or a file cannot be written.
        """
        earlier = [(turn.question, turn.text) for turn in self.turns if turn.text]
        number = len(self.turns) + 1
        answer = self.speaker.answer(
            earlier, question, self.settings, self.seed + number, on_text, on_codes
        )
        waveform = self.speaker.speak(answer)
        codec = self.speaker.codec
        audio, tokens = (self.output / f"answer-{number:03d}{end}" for end in (".wav", ".json"))
        spoken = len(waveform) > 0
        if spoken:
            self.output.mkdir(parents=True, exist_ok=True)
            write_audio(audio, waveform, codec.sample_rate)
            write_speech_tokens(tokens, [answer.codes], codec)
        exchange = Exchange(
            question=question,
            text=answer.text.strip(),
            seconds=round(len(waveform) / codec.sample_rate, 2),
            audio=str(audio) if spoken else None,
            tokens=str(tokens) if spoken else None,
            problem=answer.problem,
            codes=answer.codes,
        )
        self.turns.append(exchange)
        return exchange

    def set_temperature(self, text: str) -> None:
        """0 is greedy.

        Raises:
            VoxtwistError: not a number from 0 up.
        """
        try:
            temperature = float(text)
            values = self.settings.model_dump() | {"temperature": temperature}
            self.settings = params.Generate(**values)
        except ValueError:
            raise VoxtwistError(f"a temperature is a number from 0 up, not {text!r}") from None

    def set_seed(self, text: str) -> None:
        """Raises: VoxtwistError: not a whole number from 0 up, or too large for torch."""
        if not text.isdecimal() or len(text) > 18:
            raise VoxtwistError(f"a seed is a whole number of up to 18 digits, not {text!r}")
        self.seed = int(text)

    def set_voice(self, text: str) -> None:
        """A built-in speaker of CosyVoice, or a recording of the voice to speak with.

        Raises:
            VoxtwistError: the codec has but one voice, or there is no such speaker or recording.
        """
        if self._codec.name == "phones":
            raise VoxtwistError("the codec of phones has one voice")
        recording = text if Path(text).suffix else None
        voice = {"speaker": None if recording else text, "prompt_audio": recording}
        codec = load_codec(self._codec.model_copy(update=voice))
        codec.decode(np.zeros(1, np.int64))  # a wrong voice is told here, not behind an answer
        self.speaker.codec = codec

    def save(self, file: Path) -> None:
        """Write the conversation as JSON.

        Raises:
            VoxtwistError: it cannot be written there.
        """
        try:
            write_json({"turns": [turn.as_row() for turn in self.turns]}, file)
        except OSError as error:
            raise VoxtwistError(f"{file} cannot be written: {error.strerror}") from None
