"""FSDP2: devices share out weights, gradients and the optimizer's moments instead of copying them.

`accelerate launch --use_fsdp` asks for it. A saved state is always whole, so that a training goes
on with or without sharding, on any number of devices.
"""

import os
from typing import Any

from accelerate import Accelerator
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from voxtwist.training.spoken_model import SpokenModel

_ASKED = "ACCELERATE_USE_FSDP"


def asked_to_shard() -> bool:
    """Whether `accelerate launch --use_fsdp` started this process; call it once.

    Accelerate's own way of sharding does not know CPUs, nor tables that are read outside of their
    module: it is not to see the request.
    """
    return os.environ.pop(_ASKED, "false").lower() == "true"


def shard(module: SpokenModel, accelerator: Accelerator) -> None:
    """Shard in place, before the optimizer is built: a unit for each layer, and one for the rest.

    The rest, tables and last norm, is gathered from the beginning of a forward pass to the end of
    the backward pass, so the loss may read the rows of the table. Weights are gathered as fp32;
    autocast then computes what it computes on one device.
    """
    mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
    for layer in module.model.get_decoder().layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(module, mesh=mesh)


def whole(state: Any, keep: bool) -> Any:
    """A nested state with its sharded tensors gathered on the CPU; every process must call it.

    Args:
        keep: False: take part without holding the result; the tensors are None.
    """
    gathered: dict[int, Any] = {}  # tied tensors come more than once

    def gather(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: gather(part) for key, part in value.items()}
        if isinstance(value, list):
            return [gather(part) for part in value]
        if not isinstance(value, DTensor):
            return value
        if id(value) not in gathered:
            tensor = value.full_tensor().detach()
            gathered[id(value)] = tensor.cpu() if keep else None
        return gathered[id(value)]

    return gather(state)


def load_optimizer(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Load a whole state; of moments whose parameter is sharded, this process's part."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    moments = {
        number: {name: _like(value, parameters[number]) for name, value in values.items()}
        for number, values in state["state"].items()
    }
    optimizer.load_state_dict({**state, "state": moments})


def _like(value: Any, parameter: Any) -> Any:
    """A tensor in its parameter's shards; AdamW's count of steps stays as it is."""
    if not isinstance(parameter, DTensor) or value.shape != parameter.shape:
        return value
    # Every process has read the whole tensor: nothing needs sending.
    return distribute_tensor(value, parameter.device_mesh, parameter.placements, src_data_rank=None)
