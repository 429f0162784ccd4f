"""Low-rank adapters (LoRA, Hu et al. 2021) on the linear layers of a model with split tables."""

from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from transformers import PreTrainedModel

ALPHA_OVER_RANK = 2  # how much an adapter's product is scaled up: the usual choice


def add_adapters(model: PreTrainedModel, rank: int) -> None:
    """Put adapters of a rank into every linear layer; they learn, the layers rest."""
    inject_adapter_in_model(
        LoraConfig(
            r=rank,
            lora_alpha=ALPHA_OVER_RANK * rank,
            target_modules=sorted(
                {name for name, module in model.named_modules() if isinstance(module, nn.Linear)}
            ),
        ),
        model,
    )


def merged(model: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state with the adapters added to their layers, under the names of the plain model."""
    state = {name: tensor for name, tensor in state.items() if ".lora_" not in name}
    for name, module in model.named_modules():
        if isinstance(module, LoraLayer):
            delta: Tensor = module.get_delta_weight("default")  # type: ignore[attr-defined]
            weight = state.pop(f"{name}.base_layer.weight")
            state[f"{name}.weight"] = weight + delta.detach()
            if (bias := state.pop(f"{name}.base_layer.bias", None)) is not None:
                state[f"{name}.bias"] = bias
    return state
