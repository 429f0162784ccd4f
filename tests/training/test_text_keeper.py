"""`train.keep_text`: text meets the weights that it met at the start; speech has the rest."""

import numpy as np
import pytest
import torch
from tests.training.test_variants import SETTINGS, trained
from transformers import AutoTokenizer

from voxtwist.errors import VoxtwistError
from voxtwist.evaluation.text.trivia import trivia
from voxtwist.model.base import load_model
from voxtwist.training.spoken_model import SpokenModel
from voxtwist.training.text_keeper import TextKeeper, _batches, _input_covariances, read_passages
from voxtwist.vocabulary import SpeechVocabulary

TEXTS = ["The cat sat on the mat.", "Water boils at one hundred degrees.", "Who are you?"]


@pytest.fixture
def model(tiny_twist):
    tokenizer = AutoTokenizer.from_pretrained(tiny_twist)
    settings = SETTINGS.model_copy(update={"freeze": "text_embeddings"})
    vocabulary = SpeechVocabulary.from_tokenizer(tokenizer)
    return SpokenModel(load_model(tiny_twist), vocabulary, settings).model, tokenizer


def test_covariances_are_those_of_the_inputs_of_text(model, tiny_twist):
    """Against a plain model that reads the passages one by one."""
    spoken, tokenizer = model
    inputs, found = _input_covariances(spoken.get_decoder(), _batches(tokenizer, TEXTS))
    plain = load_model(tiny_twist).get_decoder()
    rows: dict[str, list[torch.Tensor]] = {}
    for name, module in plain.named_modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(
                lambda _, args, name=name: rows.setdefault(name, []).append(args[0][0])
            )
    with torch.no_grad():
        for text in TEXTS:
            plain(input_ids=torch.tensor([tokenizer(text)["input_ids"]]))
    assert inputs.keys() == rows.keys()
    for name, parts in rows.items():
        unit = torch.nn.functional.normalize(torch.cat(parts), dim=-1)
        expected = unit.T @ unit * unit.shape[1] / unit.shape[0]
        torch.testing.assert_close(found[inputs[name]], expected, atol=1e-4, rtol=1e-4)
        assert torch.trace(expected).item() == pytest.approx(unit.shape[1], rel=1e-5)
    # Query, key and value read the same, as gate and up do: four inputs a layer.
    assert len(found) == 4 * len(plain.layers)


def test_a_pull_leaves_the_change_that_the_formula_says(model):
    spoken, tokenizer = model
    decoder = spoken.get_decoder()
    inputs, covariances = _input_covariances(decoder, _batches(tokenizer, TEXTS))
    keeper = TextKeeper(spoken, tokenizer, TEXTS, strength=0.7)
    keeper.attach(spoken)
    layer = decoder.layers[1].mlp.down_proj
    start = layer.weight.detach().clone()
    change = torch.randn_like(start)
    with torch.no_grad():
        layer.weight += change
    keeper.pull()
    c = covariances[inputs["layers.1.mlp.down_proj"]].double()
    expected = change.double() @ torch.linalg.inv(torch.eye(len(c)) + 0.7 * c)
    torch.testing.assert_close((layer.weight - start).double(), expected, atol=1e-4, rtol=1e-3)
    assert not any(p.requires_grad for p in decoder.parameters() if p.ndim == 1)


def test_text_is_kept_and_speech_is_still_learnt(tiny_twist, splits, tmp_path):
    """The divergence from the start on the passages, in nats a token, with and without."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_twist)
    ids = [tokenizer(text)["input_ids"] for text in TEXTS]
    file = tmp_path / "text.txt"
    file.write_text("\n".join(TEXTS), encoding="utf-8")

    def log_probabilities(folder) -> torch.Tensor:
        network = load_model(folder)
        with torch.no_grad():
            logits = [network(input_ids=torch.tensor([part])).logits[0] for part in ids]
        return torch.cat(logits)[:, : len(tokenizer)].log_softmax(-1)

    start = log_probabilities(tiny_twist)
    divergence, losses = {}, {}
    for strength in (0.0, 1000.0):
        output = tmp_path / str(strength)
        trainer = trained(
            tiny_twist, splits, output, keep_text=strength, text=str(file), freeze="text_embeddings"
        )
        end = log_probabilities(output / "last")
        divergence[strength] = (start.exp() * (start - end)).sum(-1).mean().item()
        losses[strength] = trainer.state.before["loss_speech"] - trainer.state.best["loss_speech"]
    assert divergence[1000.0] < 0.1 * divergence[0.0]
    assert losses[1000.0] > 0.3 * losses[0.0] > 0


def test_the_bundled_passages_hold_no_question_of_the_benchmark():
    passages = read_passages(None)
    assert len(passages) > 1000
    asked = {question.question.casefold() for question in trivia()}
    said = {passage.splitlines()[0].removeprefix("Question: ").casefold() for passage in passages}
    assert not asked & said


def test_a_file_without_text_is_named(tmp_path, model):
    spoken, tokenizer = model
    with pytest.raises(VoxtwistError, match=r"train\.text .*nowhere\.txt cannot be read"):
        read_passages(str(tmp_path / "nowhere.txt"))
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(VoxtwistError, match=r"latin\.txt cannot be read"):
        read_passages(str(tmp_path / "latin.txt"))
    with pytest.raises(VoxtwistError, match=r"train\.text has no passage"):
        TextKeeper(spoken, tokenizer, ["x"], 1.0)
    lines = tmp_path / "lines.txt"
    lines.write_text("\ufeffFirst line.\n\n  Second line.  \n", encoding="utf-8")
    assert read_passages(str(lines)) == ["First line.", "Second line."]


def test_a_long_text_is_drawn_from_evenly(model):
    _, tokenizer = model
    texts = [f"Sentence number {i} of a long file of plain text." for i in range(20_000)]
    chosen = _batches(tokenizer, texts)
    total = sum(batch.input_ids.shape[1] for batch in chosen)
    assert 8_000 <= total < 8_200
    decoded = tokenizer.decode(torch.cat([batch.input_ids[0] for batch in chosen]))
    numbers = [int(part.split()[0]) for part in decoded.split("number ")[1:]]
    assert np.mean(numbers) == pytest.approx(10_000, rel=0.1)
