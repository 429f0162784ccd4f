"""Which parameters learn: `train.freeze`."""

from transformers import PreTrainedModel

from voxtwist.errors import VoxtwistError
from voxtwist.model.embedding import SplitTable
from voxtwist.model.lora import add_adapters


def freeze(model: PreTrainedModel, variant: str) -> None:
    """Freeze a model whose tables are split.

    Args:
        variant: `none`; `text_embeddings`: the text rows, tied head included; `all_but_new`: all
            but the new rows; `lower_layers:K`: the text rows and the K lowest layers; `lora:R`: all
            but the new rows, and adapters of rank R learn beside the layers.

    Raises:
        VoxtwistError: an unknown variant, or more layers than the model has.
    """
    name, _, count = variant.partition(":")
    if name == "lora":
        add_adapters(model, int(count))  # all else rests then
    else:
        model.requires_grad_(name != "all_but_new")
    tables = [module for module in model.modules() if isinstance(module, SplitTable)]
    for table in tables:
        table.text_rows.requires_grad_(name == "none")
        table.new_rows.requires_grad_(True)
    if name == "lower_layers":
        layers = model.get_decoder().layers
        if int(count) > len(layers):
            raise VoxtwistError(f"train.freeze is {variant}: the model has {len(layers)} layers")
        layers[: int(count)].requires_grad_(False)
    elif name not in ("none", "text_embeddings", "all_but_new", "lora"):
        raise VoxtwistError(f"train.freeze is {variant!r}: it is not a known variant")
