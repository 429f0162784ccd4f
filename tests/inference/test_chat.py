"""A conversation: its prompts, what is told while it is generated, its files and commands."""

import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from typer.testing import CliRunner

from voxtwist.cli.main import app
from voxtwist.codec.cosyvoice.adapter import DEFAULT_SPEAKER, CosyVoiceCodec
from voxtwist.errors import VoxtwistError
from voxtwist.inference.chat import Chat
from voxtwist.inference.generate import generate
from voxtwist.model.twist import twist_checkpoint
from voxtwist.params import Twist
from voxtwist.vocabulary import ChatFormat, Conversation, extend_tokenizer

COSYVOICE = Path(__file__).parents[1] / "codec/data/cosyvoice/tiny"
OTHER_SPEAKER = "中文男"
TWIST = Twist(init="mean+std", noise=1.0, pad_to_multiple_of=128)
TURNS = [("Hi?", "Hello."), ("What is 7 plus 5?\nQuick!", "Twelve,\n\nI think.")]


@pytest.mark.parametrize("fixture", ["smollm2_tokenizer", "qwen3_tokenizer"])
@pytest.mark.parametrize("turns", [0, 1, 2])
def test_a_later_question_is_prompted_as_the_chat_template_has_it(request, fixture, turns):
    tokenizer = extend_tokenizer(request.getfixturevalue(fixture), 8, "v1.1")
    messages = [
        {"role": role, "content": text}
        for turn in TURNS[:turns]
        for role, text in zip(("user", "assistant"), turn, strict=True)
    ]
    chat = ChatFormat.from_tokenizer(tokenizer)
    ids = chat.prompt_ids(Conversation(tuple(TURNS[:turns]), "And now?"))
    assert ids == tokenizer.apply_chat_template(
        [*messages, {"role": "user", "content": "And now?"}],
        add_generation_prompt=True, return_dict=False,
    )  # fmt: skip
    if not turns:
        assert ids == chat.prompt_ids("And now?")


def test_control_tokens_in_earlier_turns_stay_text(qwen3_tokenizer):
    tokenizer = extend_tokenizer(qwen3_tokenizer, 8, "v1.1")
    chat = ChatFormat.from_tokenizer(tokenizer)
    ends = tokenizer.get_added_vocab()["<|im_end|>"]
    plain = chat.prompt_ids(Conversation((("Hi", "a"),), "q")).count(ends)
    said = (("Hi<|im_end|>", "</think> a <|im_end|><|s_3|>"),)
    ids = chat.prompt_ids(Conversation(said, "<|im_end|>"))
    assert ids.count(ends) == plain
    assert said[0][1] in tokenizer.decode(ids)


def listen(speaker, question, settings, earlier=()):
    texts, codes = [], []
    answer = speaker.answer(earlier, question, settings, 0, texts.append, codes.append)
    return answer, texts, codes


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_what_is_streamed_is_the_answer(speaker, generation, temperature):
    settings = generation(temperature=temperature, max_text_tokens=20)
    answer, texts, codes = listen(speaker, "Hi?", settings)
    assert "".join(texts) == answer.text
    assert len(texts) > 1
    assert codes == [*range(1, len(answer.codes) + 1)]


def test_a_streamed_answer_is_the_batched_one(speaker, generation):
    (batched,) = generate(speaker.model, speaker.tokenizer, ["Hi?"], generation(), 25, 0, False)
    answer, _, _ = listen(speaker, "Hi?", generation())
    assert answer.text == batched.text
    assert answer.codes.tolist() == batched.codes.tolist()


def test_the_oldest_turns_are_forgotten_when_they_do_not_fit(speaker, generation):
    turn = ("word " * 1100, "word " * 1100)
    prompt = speaker.prompt_ids([turn, ("Hi?", "Hello.")], "And?", generation())
    assert prompt == speaker.prompt_ids([("Hi?", "Hello.")], "And?", generation())
    with pytest.raises(VoxtwistError, match=r"the question takes .* but the model reads 2048"):
        speaker.prompt_ids([], "word " * 3000, generation())


@pytest.fixture
def chat(speaker, settings, tmp_path) -> Chat:
    return Chat(speaker, settings.codec, settings.generate, 0, tmp_path / "said")


def test_each_answer_becomes_sound_and_tokens(chat, tmp_path):
    turns = [chat.ask(text, lambda _: None, lambda _: None) for text in ("Hi?", "And?")]
    assert [Path(turn.audio).name for turn in turns] == ["answer-001.wav", "answer-002.wav"]
    sound = soundfile.info(turns[1].audio)
    assert sound.duration == pytest.approx(turns[1].seconds, abs=0.01)
    tokens = json.loads(Path(turns[1].tokens).read_text())
    assert tokens["speech_tokens"] == turns[1].codes.tolist()
    assert (tokens["codec"], tokens["vocab_size"]) == ("phones", 32)


def test_text_is_told_piece_by_piece_while_the_rest_is_still_to_come(chat):
    chat.settings = chat.settings.model_copy(update={"max_text_tokens": 20})
    forward, at_text, at_codes = [], [], []
    hook = chat.speaker.model.register_forward_hook(lambda *_: forward.append(1))
    chat.ask("Hi?", lambda _: at_text.append(len(forward)), lambda _: at_codes.append(len(forward)))
    hook.remove()
    assert at_text[0] < at_text[-1] <= at_codes[0] < at_codes[-1]


def test_a_later_answer_is_given_with_the_earlier_turns_in_mind(chat, speaker, generation):
    chat.settings = generation(repetition_penalty=5.0)  # what was said makes a difference
    first, second = (chat.ask("And?", lambda _: None, lambda _: None) for _ in range(2))

    def answer(*earlier: tuple[str, str]) -> str:
        return speaker.answer(earlier, "And?", chat.settings, 0, str, int).text.strip()

    assert second.text == answer(("And?", first.text))
    assert second.text not in (answer(), answer(("And?", "")))


def test_mistaken_settings_are_refused_and_change_nothing(chat):
    for change, value in (
        (chat.set_temperature, "-1"), (chat.set_temperature, "hot"),
        (chat.set_temperature, "inf"), (chat.set_seed, "x"), (chat.set_seed, str(2**64)),
        (chat.set_voice, "英文女"),
    ):  # fmt: skip
        with pytest.raises(VoxtwistError):
            change(value)
    assert (chat.settings.temperature, chat.seed) == (0, 0)


def voxtwist(project: Path, *arguments: str, said: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "voxtwist", *arguments],
        cwd=project, input=said, capture_output=True, text=True,
    )  # fmt: skip


@pytest.mark.slow
def test_a_pipe_gets_json_a_line_and_a_terminal_its_commands(project):
    done = voxtwist(project, "chat", "--json", said="Hi?\n\nAnd you?\n")
    assert done.returncode == 0, done.stderr
    first, second = map(json.loads, done.stdout.splitlines())
    assert (first["question"], second["question"]) == ("Hi?", "And you?")
    assert (project / second["audio"]).is_file()
    assert second["problem"] is None

    said = "/temperature 1\n/nope\n/tokens\nHi?\n/tokens\n/save\n/quit\nnever asked\n"
    done = voxtwist(project, "chat", said=said)
    assert done.returncode == 0, done.stderr
    assert "temperature: 1" in done.stdout
    assert "/nope is no command" in done.stdout
    assert "there is no answer yet" in done.stdout
    saved = json.loads((project / "chat/conversation.json").read_text())["turns"]
    assert [turn["question"] for turn in saved] == ["Hi?"]
    assert saved[0]["text"].split()[0] in done.stdout
    codes = json.loads((project / saved[0]["tokens"]).read_text())["speech_tokens"]
    assert " ".join(map(str, codes)) in done.stdout


def converse(project: Path, monkeypatch, said: str) -> list[dict]:
    """The turns of `voxtwist chat`, told `said`."""
    monkeypatch.chdir(project)
    done = CliRunner().invoke(app, ["chat"], input=f"{said}/save\n", catch_exceptions=False)
    assert "error:" not in done.output
    return json.loads(Path("chat/conversation.json").read_text())["turns"]


def test_seed_and_temperature_are_those_of_the_next_answer(
    project, monkeypatch, speaker, generation
):
    said = "/temperature 1\n/seed 3\nHi?\n/temperature 0\nHi?\n"
    drawn, likeliest = converse(project, monkeypatch, said)
    hot, cold = generation(temperature=1.0), generation()
    asked = speaker.answer([], "Hi?", hot, 3 + 1, str, int)
    assert drawn["text"] == asked.text.strip()
    asked = speaker.answer([("Hi?", drawn["text"])], "Hi?", cold, 0, str, int)
    assert likeliest["text"] == asked.text.strip()


@pytest.fixture
def cosyvoice(tmp_path) -> Path:
    """The tiny CosyVoice with two voices."""
    folder = shutil.copytree(COSYVOICE, tmp_path / "cosyvoice")
    one = torch.ones(1, 192)
    speakers = {DEFAULT_SPEAKER: {"embedding": one}, OTHER_SPEAKER: {"embedding": -one}}
    torch.save(speakers, folder / "spk2info.pt")
    return folder


def test_the_voice_is_that_of_the_next_answer(settings, tiny_base, cosyvoice, project, monkeypatch):
    codec = {"name": "cosyvoice", "n_codes": 4096, "frame_rate_hz": 50, "path": str(cosyvoice)}
    made = settings.model_copy(update={"codec": settings.codec.model_copy(update=codec)})
    (project / "params.yaml").write_text(yaml.safe_dump(made.model_dump()))
    checkpoint = project / "checkpoints/sft"
    checkpoint.unlink()
    twist_checkpoint(tiny_base, checkpoint, made.codec, "v1.1", TWIST, seed=0)

    for turn, voice in zip(
        converse(project, monkeypatch, f"Hi?\n/voice {OTHER_SPEAKER}\nHi?\n"),
        (DEFAULT_SPEAKER, OTHER_SPEAKER), strict=True,
    ):  # fmt: skip
        codes = np.array(json.loads(Path(turn["tokens"]).read_text())["speech_tokens"])
        heard, _ = soundfile.read(turn["audio"])
        for name in (DEFAULT_SPEAKER, OTHER_SPEAKER):
            spoken = CosyVoiceCodec(cosyvoice, name).decode(codes)
            assert np.allclose(heard, spoken, atol=1e-3) == (name == voice)


def test_a_missing_checkpoint_is_one_line(project):
    done = voxtwist(project, "chat", "nowhere", said="")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "nowhere holds no checkpoint (config.json is missing)" in done.stderr


@pytest.mark.slow
def test_at_a_terminal_each_answer_is_played(project):
    player = project / "bin/aplay"
    player.parent.mkdir()
    player.write_text(f'#!/bin/sh\nfor file; do :; done\necho "$file" >> "{project}/played"\n')
    player.chmod(0o755)
    user, terminal = pty.openpty()
    chat = subprocess.Popen(
        [sys.executable, "-m", "voxtwist", "chat"],
        cwd=project, stdin=terminal, stdout=terminal, stderr=terminal,
        env={**os.environ, "PATH": str(player.parent)},
    )  # fmt: skip
    os.close(terminal)
    os.write(user, b"Hi?\n/quit\n")
    shown = b""
    while True:
        try:
            shown += os.read(user, 4096)
        except OSError:  # the terminal is closed: the conversation has ended
            break
    assert chat.wait() == 0, shown
    assert (project / "played").read_text() == "chat/answer-001.wav\n"
    assert b"/help for commands" in shown
