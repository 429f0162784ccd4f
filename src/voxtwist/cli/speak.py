"""Panel Talk: `voxtwist speak`: a file of speech tokens becomes audio files."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer
from rich.console import Console
from rich.progress import track

from voxtwist import params
from voxtwist.cli.talk import PANEL
from voxtwist.errors import VoxtwistError

if TYPE_CHECKING:
    import numpy as np

    from voxtwist.codec.files import SpeechTokens
    from voxtwist.codec.origin import Origin


@dataclass(frozen=True)
class Speech:
    """Waveforms on their way: (index of the utterance, float32 (N,) at `rate` Hz)."""

    rate: int
    voice: str
    waves: Iterator["tuple[int, np.ndarray]"]


def register(app: typer.Typer) -> None:
    app.command(rich_help_panel=PANEL)(speak)


def speak(
    speech_tokens: Annotated[
        Path,
        typer.Option(
            "--speech-tokens",
            "--tokens",
            help='JSON list, {"speech_tokens": [...]}, or .jsonl with one of these per line',
        ),
    ],
    output: Annotated[
        Path, typer.Option(help=".wav or .flac; of many utterances, NAME-00001.wav and so on")
    ],
    model_dir: Annotated[
        Path, typer.Option(help="Folder of CosyVoice-300M(-SFT), or of the codec of phones")
    ],
    prompt_audio: Annotated[
        Path | None, typer.Option(help="Recording of the voice to speak with, 3 to 10 s")
    ] = None,
    speaker: Annotated[str | None, typer.Option(help="Built-in voice of the SFT model")] = None,
    codec: Annotated[
        params.CodecName | None, typer.Option(help="Default: what the file says, else cosyvoice")
    ] = None,
    speed: Annotated[float, typer.Option(help="1.3 speaks 30 % faster, at the same pitch")] = 1.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same audio")] = 0,
    resample: Annotated[
        int | None, typer.Option(help="Hz to write at; default the model's own (v1: 22,050)")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, …")] = "cpu",
    steps: Annotated[int, typer.Option(help="Euler steps; fewer are faster, less exact")] = 10,
    batch_size: Annotated[
        int | None, typer.Option(help="Utterances at once; default 8 on a GPU, 1 on a CPU")
    ] = None,
) -> None:
    """Turn speech tokens into audio."""
    from voxtwist.codec.audio import check_output, write_audio
    from voxtwist.codec.audio import resample as change_rate
    from voxtwist.codec.files import read_speech_tokens

    check_output(output)
    if resample is not None and resample < 1:
        raise VoxtwistError(f"--resample is {resample}: give a rate in Hz, such as 24000")
    if batch_size is not None and batch_size < 1:
        raise VoxtwistError(f"--batch-size is {batch_size}: it must be at least 1")
    utterances = read_speech_tokens(speech_tokens)
    if _codec_of(utterances, codec) == "phones":
        if prompt_audio or speaker or speed != 1.0:
            raise VoxtwistError(
                "the codec of phones has one voice and one speed: "
                "drop --prompt-audio, --speaker and --speed"
            )
        speech = _speak_phones(utterances, model_dir)
    else:
        speech = _speak_cosyvoice(
            utterances, model_dir, prompt_audio, speaker, speed, seed, steps, batch_size, device
        )
    rate = resample or speech.rate
    paths = _paths(output, len(utterances))
    console = Console()
    audio_seconds = 0.0
    start = time.perf_counter()
    for i, wave in track(
        speech.waves, "Speaking", len(utterances), console=Console(stderr=True), transient=True
    ):
        audio_seconds += len(wave) / speech.rate
        write_audio(paths[i], change_rate(wave, speech.rate, rate), rate)
    elapsed = time.perf_counter() - start
    n_tokens = sum(len(utterance.codes) for utterance in utterances)
    written = str(output) if len(paths) == 1 else f"{len(paths)} files, {paths[0]} …"
    console.print(f"{written} ({rate} Hz)", soft_wrap=True, highlight=False)
    console.print(
        f"{n_tokens} tokens · {speech.voice} · {audio_seconds:.2f} s of audio · "
        f"real-time factor {elapsed / audio_seconds:.2f}",
        soft_wrap=True,
        highlight=False,
    )


def _codec_of(utterances: list["SpeechTokens"], asked: str | None) -> str:
    for utterance in utterances:
        wanted = asked or utterances[0].origin.codec or "cosyvoice"
        if utterance.origin.codec not in (None, wanted):
            raise VoxtwistError(
                f"{utterance.where}: these are {utterance.origin.codec} tokens, not {wanted}: "
                "a codec decodes only its own"
            )
    if wanted not in get_args(params.CodecName):
        raise VoxtwistError(f"{utterances[0].where}: unknown codec {wanted!r}: give --codec")
    return wanted


def _paths(output: Path, count: int) -> list[Path]:
    if count == 1:
        return [output]
    return [output.with_stem(f"{output.stem}-{i:05d}") for i in range(1, count + 1)]


def _own_codes(
    utterances: list["SpeechTokens"], own: "Origin", model_dir: Path
) -> "list[np.ndarray]":
    """The utterances' codes, once all of them are known to be this codec's.

    Raises:
        VoxtwistError: a file says another codec, rate or vocabulary, or holds what is no code.
    """
    from voxtwist.codec.files import check_codes

    assert own.vocab_size is not None
    for utterance in utterances:
        utterance.origin.refuse_unless(own, utterance.where, f"{model_dir} has")
    return [check_codes(u.codes, own.vocab_size, u.where) for u in utterances]


def _speak_phones(utterances: list["SpeechTokens"], model_dir: Path) -> Speech:
    from voxtwist.codec.origin import Origin
    from voxtwist.codec.phones import PhoneCodec

    codec = PhoneCodec.load(model_dir)
    codes = _own_codes(utterances, Origin.of(codec), model_dir)
    return Speech(codec.sample_rate, "embedded voice", codec.decode_many(codes))


def _speak_cosyvoice(
    utterances: list["SpeechTokens"],
    model_dir: Path,
    prompt_audio: Path | None,
    speaker: str | None,
    speed: float,
    seed: int,
    steps: int,
    batch_size: int | None,
    device: str,
) -> Speech:
    from voxtwist.codec.audio import read_audio
    from voxtwist.codec.cosyvoice import CosyVoice
    from voxtwist.codec.origin import Origin

    if (prompt_audio is None) == (speaker is None):
        raise VoxtwistError("give one voice: --prompt-audio FILE or --speaker NAME")
    model = CosyVoice.load(model_dir, device)
    flow = model.config.flow
    own = Origin("cosyvoice", flow.input_frame_rate, flow.vocab_size)
    codes = _own_codes(utterances, own, model_dir)
    if prompt_audio:
        try:
            voice = model.prompt(*read_audio(prompt_audio))
        except VoxtwistError as error:
            raise VoxtwistError(f"--prompt-audio {prompt_audio}: {error}") from None
    else:
        voice = model.speaker(str(speaker))
    waves = model.decode_many(codes, voice, speed, seed, steps, batch_size)
    return Speech(
        model.sample_rate,
        f"prompt of {voice.tokens.shape[1]} tokens and {voice.mel.shape[1]} frames",
        ((i, wave[0].numpy()) for i, wave in waves),
    )
