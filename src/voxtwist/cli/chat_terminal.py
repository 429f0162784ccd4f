"""A conversation on the terminal: questions and commands in, text and sound out."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from voxtwist.errors import VoxtwistError

if TYPE_CHECKING:
    from voxtwist.inference.chat import Chat

COMMANDS = """\
/save [FILE]           write the conversation as JSON
/voice NAME|RECORDING  speak with a built-in voice, or with that of a recording (CosyVoice)
/seed NUMBER           of the draws that follow
/temperature NUMBER    0: always the likeliest token
/tokens                the codes of the last answer
/help                  this list
/quit                  or Ctrl-D; Ctrl-C breaks an answer off"""
PLAYERS = {
    "ffplay": ["-nodisp", "-autoexit", "-loglevel", "quiet"],
    "paplay": [],
    "aplay": ["-q"],
    "afplay": [],
}


class ChatTerminal:
    """Reads questions and commands until the end."""

    def __init__(self, talk: "Chat", player: list[str] | None) -> None:
        self.talk, self.player = talk, player
        self.console = Console(highlight=False, markup=False, soft_wrap=True)
        self.interactive = sys.stdin.isatty()

    def run(self) -> None:
        if self.interactive:
            self.console.print("Ask something, /help for commands, /quit to leave.", style="dim")
        for line in self._lines():
            try:
                if line.startswith("/"):
                    if not self._command(*line.split(maxsplit=1)):
                        return
                else:
                    self._ask(line)
            except VoxtwistError as error:
                self.console.print(f"error: {error}", style="bold red")
            except KeyboardInterrupt:
                self.console.print("\n(broken off)", style="dim")

    def _lines(self) -> Iterator[str]:
        while True:
            try:
                line = input("> " if self.interactive else "").strip()
            except (EOFError, KeyboardInterrupt):
                return
            if line:
                yield line

    def _ask(self, question: str) -> None:
        codec = self.talk.speaker.codec
        shown = sys.stderr.isatty()

        def on_codes(codes: int) -> None:
            if shown:
                line = "\n" if codes == 1 else "\r"
                seconds = codes / codec.frame_rate_hz
                print(f"{line}♪ {seconds:.1f} s", end="", file=sys.stderr, flush=True)

        exchange = self.talk.ask(question, lambda text: print(text, end="", flush=True), on_codes)
        print("\r" if shown and exchange.audio else "")
        if exchange.audio:
            self.console.print(f"♪ {exchange.seconds:.1f} s · {exchange.audio}", style="dim")
        if exchange.problem:
            self.console.print(f"not well formed: {exchange.problem}", style="yellow")
        if exchange.audio and self.player:
            self._play(Path(exchange.audio))

    def _play(self, file: Path) -> None:
        assert self.player is not None
        if not play(self.player, file):
            self.console.print(f"{self.player[0]} cannot play here", style="yellow")
            self.player = None

    def _command(self, name: str, argument: str = "") -> bool:
        """Whether the conversation continues."""
        talk, say = self.talk, self.console.print
        settings = {
            "/voice": talk.set_voice,
            "/seed": talk.set_seed,
            "/temperature": talk.set_temperature,
        }
        if name == "/quit":
            return False
        if name == "/save":
            file = Path(argument) if argument else talk.output / "conversation.json"
            talk.save(file)
            say(f"{len(talk.turns)} turns written to {file}")
        elif name in settings:
            settings[name](argument)
            say(f"{name[1:]}: {argument}")
        elif name == "/tokens":
            if not talk.turns:
                raise VoxtwistError("there is no answer yet")
            say(" ".join(map(str, talk.turns[-1].codes)), style="dim")
        elif name == "/help":
            say(COMMANDS)
        else:
            raise VoxtwistError(f"{name} is no command: /help lists them")
        return True


def find_player() -> list[str] | None:
    """The command of the first player that is installed, without the file; None: there is none."""
    for name, options in PLAYERS.items():
        path = shutil.which(name)
        if path:
            return [path, *options]
    return None


def play(player: list[str], file: Path) -> bool:
    """Play to the end; whether that worked (it does not on a machine without a sound card)."""
    done = subprocess.run(
        [*player, str(file)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return done.returncode == 0
