"""`voxtwist chat`: a spoken conversation in the terminal or over a pipe."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from voxtwist.errors import VoxtwistError

if TYPE_CHECKING:
    from voxtwist import params
    from voxtwist.inference.chat import Chat
    from voxtwist.inference.speaker import Speaker

CHECKPOINT = "checkpoints/sft"
CHECKPOINT_HELP = "Folder, or a registered version: models:/NAME@ALIAS, models:/NAME/NUMBER"
SERVER_HELP = "http://localhost:8000/v1 of vLLM or alike, which serves the checkpoint"
ServerUrl = Annotated[
    str | None, typer.Option(help=f"{SERVER_HELP}; its answers are not constrained to their form")
]
SpeakerName = Annotated[str | None, typer.Option(help="Built-in voice of CosyVoice")]
PromptAudio = Annotated[Path | None, typer.Option(help="Recording of the voice to speak with")]
Temperature = Annotated[float | None, typer.Option(min=0, help="0: greedy")]
Seed = Annotated[int | None, typer.Option(min=0)]
ParamsFile = Annotated[
    Path, typer.Option("--params", help="Codec, generation and seed come from here")
]
COMMANDS = """\
/save [FILE]           write the conversation as JSON
/voice NAME|RECORDING  speak with a built-in voice, or with that of a recording (CosyVoice)
/seed NUMBER           of the draws that follow
/temperature NUMBER    0: always the likeliest token
/tokens                the codes of the last answer
/help                  this list
/quit                  or Ctrl-D; Ctrl-C breaks an answer off"""


def register(app: typer.Typer) -> None:
    app.command("chat")(chat)


def chat(
    checkpoint: Annotated[str, typer.Argument(help=CHECKPOINT_HELP)] = CHECKPOINT,
    output: Annotated[Path, typer.Option(help="Folder for the speech and its tokens")] = Path(
        "chat"
    ),
    as_json: Annotated[
        bool, typer.Option("--json", help="A line of JSON an answer, for scripts")
    ] = False,
    play: Annotated[bool, typer.Option(help="Play each answer, where there is a player")] = True,
    speaker: SpeakerName = None,
    prompt_audio: PromptAudio = None,
    temperature: Temperature = None,
    seed: Seed = None,
    server: ServerUrl = None,
    params_file: ParamsFile = Path("params.yaml"),
) -> None:
    """Talk with a model: its text as it comes, then its speech. One question a line."""
    from voxtwist.inference.chat import Chat
    from voxtwist.inference.player import find_player

    settings = read_settings(params_file, speaker, prompt_audio, temperature, seed, server)
    loaded = load_speaker(checkpoint, settings)
    talk = Chat(loaded, settings.codec, settings.generate, settings.seed, output)
    if as_json:
        _answer_json(talk)
        return
    _Terminal(talk, find_player() if play and sys.stdout.isatty() else None).run()


def read_settings(
    file: Path,
    speaker: str | None = None,
    prompt_audio: Path | None = None,
    temperature: float | None = None,
    seed: int | None = None,
    server: str | None = None,
) -> "params.Params":
    """params.yaml with what the command line says otherwise."""
    from voxtwist import params

    settings = params.load(file)
    if speaker and prompt_audio:
        raise VoxtwistError("give one voice: --speaker NAME or --prompt-audio FILE")
    changes: dict[str, object] = {}
    if speaker or prompt_audio:
        voice = {"speaker": speaker, "prompt_audio": prompt_audio and str(prompt_audio)}
        changes["codec"] = settings.codec.model_copy(update=voice)
    generation: dict[str, object] = {}
    if temperature is not None:
        generation["temperature"] = temperature
    if server:
        generation |= {"server": server, "constrained": False}
    changes["generate"] = settings.generate.model_copy(update=generation)
    if seed is not None:
        changes["seed"] = seed
    return settings.model_copy(update=changes)


def load_speaker(checkpoint: str, settings: "params.Params") -> "Speaker":
    """The model and its codec, with a word on the terminal while they load."""
    console = Console(stderr=True)
    with console.status(f"Loading {checkpoint}"):
        from transformers.utils.logging import disable_progress_bar

        from voxtwist.inference.checkpoint import find_checkpoint
        from voxtwist.inference.speaker import Speaker

        disable_progress_bar()
        folder = find_checkpoint(checkpoint, Path(), settings.tracking.experiment)
        return Speaker.load(folder, settings.codec, settings.generate.server)


def _answer_json(talk: "Chat") -> None:
    for line in sys.stdin:
        question = line.strip()
        if question:
            exchange = talk.ask(question, lambda text: None, lambda codes: None)
            print(json.dumps(exchange.as_row(), ensure_ascii=False), flush=True)


class _Terminal:
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
        from voxtwist.inference.player import play

        assert self.player is not None
        if not play(self.player, file):
            self.console.print(f"{self.player[0]} cannot play here", style="yellow")
            self.player = None

    def _command(self, name: str, argument: str = "") -> bool:
        """Whether the conversation goes on."""
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
