"""Answers of a running server are those of the same checkpoint generated here."""

import json
from pathlib import Path

import pytest
import yaml
from transformers import AutoTokenizer
from typer.testing import CliRunner

from by_heart import learn_by_heart
from completions_server import serving
from voxtwist.cli.main import app
from voxtwist.codec.phones import PhoneCodec
from voxtwist.errors import VoxtwistError
from voxtwist.inference.chat import Chat
from voxtwist.inference.generate import generate
from voxtwist.inference.server import Server, answer_ids
from voxtwist.inference.speaker import Speaker
from voxtwist.model.base import load_model

QUESTIONS = ["Hi?", "What is 7 plus 5, and why do you think so?", "Say it."]
ANSWERS = ["Hello <b>you</b>!", "It is twelve.", "It."]
CODES = [[3, 3, 31, 0], [7, 8, 9], [1]]


@pytest.fixture(scope="module")
def talker(tiny_twist, tmp_path_factory) -> Path:
    """A checkpoint that has learnt the answers by heart: words, codes and an end."""
    return learn_by_heart(tiny_twist, tmp_path_factory.mktemp("talker"), QUESTIONS, ANSWERS, CODES)


@pytest.fixture(scope="module")
def speaker(talker, codec_folder) -> Speaker:
    tokenizer = AutoTokenizer.from_pretrained(talker)
    return Speaker(load_model(talker), tokenizer, PhoneCodec.load(codec_folder))


@pytest.fixture(params=[True, False], ids=["ids", "text"])
def served(talker, request):
    """A server that returns token ids, as vLLM does, or text alone."""
    with serving(talker, gives_ids=request.param) as running:
        yield running


def test_greedy_answers_are_the_local_ones(served, speaker, talker, generation):
    free = generation(constrained=False)
    there = Server.connect(f"{served.url}/", talker)
    ours = generate(speaker.model, speaker.tokenizer, QUESTIONS, free, 50, 0, False)
    theirs = generate(there, speaker.tokenizer, QUESTIONS, free, 50, 0, False)
    for one, other in zip(ours, theirs, strict=True):
        assert one.text == other.text
        assert one.codes.tolist() == other.codes.tolist()
        assert one.problem == other.problem
    assert [answer.text for answer in theirs] == ANSWERS
    assert [answer.codes.tolist() for answer in theirs] == CODES
    assert all(answer.well_formed for answer in theirs)


def test_sampled_answers_follow_the_seed_and_not_the_batch(served, speaker, talker, generation):
    there = Server.connect(served.url, talker)

    def texts(seed, batch_size):
        free = generation(constrained=False, temperature=1.0, batch_size=batch_size, top_k=5)
        answers = generate(there, speaker.tokenizer, QUESTIONS, free, 50, seed, False)
        return [answer.text for answer in answers]

    assert texts(1, 1) == texts(1, 4) != texts(5, 1)
    asked = served.asked[-1]
    assert (asked["temperature"], asked["top_p"], asked["top_k"]) == (1.0, 1.0, 5)
    assert asked["stop"] == ["<|im_end|>"]


def test_a_conversation(served, speaker, talker, settings, tmp_path):
    free = settings.generate.model_copy(update={"constrained": False})
    there = Speaker(Server.connect(served.url, talker), speaker.tokenizer, speaker.codec)
    turns = []
    for who in (speaker, there):
        heard = []
        talk = Chat(who, settings.codec, free, 0, tmp_path)
        talk.ask("Hi?", heard.append, lambda codes: None)
        turn = talk.ask("And you?", heard.append, lambda codes: None)
        turns.append((turn.text, turn.codes.tolist(), turn.problem, "".join(heard)))
    assert turns[0] == turns[1]
    assert there.context == 512  # what the server says, not the checkpoint


@pytest.mark.parametrize("reason", ["stop", "length"])
def test_text_is_read_as_the_ids_it_came_from(speaker, reason):
    text = "<text>It is <b>twelve</b>.</text><speech><|s_3|><|s_31|></speech>"
    tokenizer = speaker.tokenizer
    ids = answer_ids({"text": text, "finish_reason": reason}, tokenizer)
    assert tokenizer.decode(ids) == text + ("<|im_end|>" if reason == "stop" else "")
    with_ids = {"text": "", "token_ids": ids, "finish_reason": reason}
    assert answer_ids(with_ids, tokenizer) == ids  # no second <|im_end|>


def test_the_wrong_model_and_a_lost_server_are_clear_errors(speaker, talker, generation):
    with serving(talker, name="Qwen/Qwen3-0.6B") as other:
        with pytest.raises(VoxtwistError, match=r"serves Qwen/Qwen3-.*, not .*talker\d: start it"):
            Server.connect(other.url, talker)
        with pytest.raises(VoxtwistError, match=r"404: no model gone at"):
            list(Server(other.url, "gone", 9).complete([[1]], None, generation(), 2, 0))
        there = Server(other.url, other.name, 512)
    with pytest.raises(VoxtwistError, match=r"does not answer \(ConnectionError\): start the"):
        generate(there, speaker.tokenizer, QUESTIONS, generation(constrained=False), 50, 0, False)


def test_the_command(project, tmp_path, monkeypatch):
    (tmp_path / "q.jsonl").write_text("\n".join(json.dumps(question) for question in QUESTIONS))
    monkeypatch.chdir(project)

    def run(output, *options):
        command = ["generate", "--questions", "q.jsonl", "--output", output, *options]
        done = CliRunner().invoke(app, command)
        if done.exception:
            raise done.exception
        return (project / output / "answers.jsonl").read_text()

    def change(restrict_speech=0.9, **generation):
        values = yaml.safe_load(Path("params.yaml").read_text())
        values["generate"] |= generation
        values["train"]["restrict_speech"] = restrict_speech
        Path("params.yaml").write_text(yaml.safe_dump(values))

    with serving(project / "checkpoints/sft", name="checkpoints/sft") as running:
        change(restrict_speech=1.0)
        with pytest.raises(VoxtwistError, match=r"train\.restrict_speech at 1 text ids never"):
            run("refused", "--server", running.url)
        change()
        by_option = run("by-option", "--server", running.url)
        change(server=running.url)
        with pytest.raises(VoxtwistError, match=r"generate.constrained needs a model here"):
            run("refused")
        change(constrained=False)
        by_param = run("by-param")
        assert len(running.asked) == 2 * len(QUESTIONS)
    change(server=None)
    assert run("here") == by_option == by_param
