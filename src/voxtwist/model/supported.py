"""Models that training would change without saying so are refused."""

from typing import Any

import torch
from transformers import PreTrainedModel

from voxtwist.errors import VoxtwistError


@torch.inference_mode()
def refuse_unsupported(model: PreTrainedModel) -> None:
    """Training looks rows up in the token table and multiplies hidden states by the head's rows.

    Raises:
        VoxtwistError: the model does something else besides: it scales its embeddings (Gemma 3) or
            its logits (Granite, Cohere), caps them, or its head has a bias (Phi).
    """
    ids = torch.arange(8).unsqueeze(0)
    decoder = model.get_decoder()
    hidden = decoder(input_ids=ids, use_cache=False).last_hidden_state
    table: Any = model.get_input_embeddings()
    head: Any = model.get_output_embeddings()
    logits = model(input_ids=ids, use_cache=False).logits
    for name, found, expected in (
        (
            "embeddings",
            decoder(inputs_embeds=table.weight[ids], use_cache=False).last_hidden_state,
            hidden,
        ),
        ("logits", hidden @ head.weight.T, logits),
    ):
        if not torch.allclose(found, expected, atol=1e-3, rtol=1e-3):
            raise VoxtwistError(
                f"{type(model).__name__} does more to its {name} than its table says (it scales, "
                "caps or shifts them), which training leaves out: take a model of another family"
            )
