"""Layers compiled one by one: they have the same code, so all of them share one graph."""

from collections.abc import Callable
from typing import Any

from transformers import PreTrainedModel


def compile_layers(model: PreTrainedModel, backend: str | Callable[..., Any] = "inductor") -> None:
    """Compile every layer, for rows of any length, on its first call.

    Checkpointing and attention are part of the graph where `attention.has_kernel`. Elsewhere the
    graph breaks at attention, and with checkpointing nothing of a layer can be compiled.
    """
    for layer in model.get_decoder().layers:
        layer.compile(dynamic=True, backend=backend)
