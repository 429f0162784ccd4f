import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from production_stand_ins import stand_ins


@pytest.fixture(params=[True, False], ids=["tied", "untied"])
def model(request) -> PreTrainedModel:
    """A random three-layer Llama of 40 ids, of which tests take 30 as text."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=40,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=request.param,
    )
    return LlamaForCausalLM(config).eval()
