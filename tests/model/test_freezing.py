"""What is frozen stays bit-identical under weight decay; what is saved is what was trained."""

import pytest
import torch

from voxtwist.errors import VoxtwistError
from voxtwist.model.embedding import joined_state_dict, split_tables
from voxtwist.model.freezing import freeze

TEXT = 30
FROZEN = {
    "none": [],
    "text_embeddings": ["text_rows"],
    "all_but_new": ["text_rows", "layers", "norm"],
    "lower_layers:2": ["text_rows", "layers.0.", "layers.1."],
    "lora:2": ["text_rows", "base_layer", "norm"],
}


def train_a_little(model):
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], lr=0.1, weight_decay=0.5
    )
    ids = torch.arange(40).unsqueeze(0)
    for _ in range(3):
        hidden = model.get_decoder()(input_ids=ids).last_hidden_state
        head = model.get_output_embeddings()
        logits = hidden @ torch.cat([head.text_rows, head.new_rows]).T
        torch.nn.functional.cross_entropy(logits[0, :-1], ids[0, 1:]).backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("variant", FROZEN)
def test_frozen_tensors_stay_bit_identical_and_all_others_move(model, variant):
    split_tables(model, TEXT)
    freeze(model, variant)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    train_a_little(model)
    for name, parameter in model.named_parameters():
        frozen = any(part in name for part in FROZEN[variant])
        assert torch.equal(before[name], parameter) == frozen, name


@pytest.mark.parametrize("variant", FROZEN)
def test_joined_weights_give_a_plain_model_with_the_same_outputs(model, variant):
    model.double()
    plain = type(model)(model.config).double().eval()
    split_tables(model, TEXT)
    freeze(model, variant)
    train_a_little(model)
    plain.load_state_dict(
        joined_state_dict(model, model.state_dict()), strict=not model.config.tie_word_embeddings
    )
    plain.tie_weights()
    ids = torch.arange(40).unsqueeze(0)
    head = model.get_output_embeddings()
    with torch.no_grad():
        hidden = model.get_decoder()(input_ids=ids).last_hidden_state
        ours = hidden @ torch.cat([head.text_rows, head.new_rows]).T
        torch.testing.assert_close(plain(input_ids=ids).logits, ours, atol=1e-6, rtol=0)


def test_more_layers_than_there_are_is_refused(model):
    split_tables(model, TEXT)
    with pytest.raises(VoxtwistError, match="has 3 layers"):
        freeze(model, "lower_layers:4")
