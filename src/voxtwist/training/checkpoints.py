"""What a training writes: the state to resume from, the best checkpoint, and the last."""

import shutil
from dataclasses import replace
from pathlib import Path

from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from voxtwist.training.sharding import whole
from voxtwist.training.spoken_model import SpokenModel
from voxtwist.training.state import StateFolder, TrainingState


class Checkpoints:
    """Every process calls the methods, which gather what is sharded; the main process writes."""

    def __init__(self, states: StateFolder) -> None:
        self.states = states
        self._steps_of_best: list[int] = []  # of the one that the state names, and of a later one

    def load(self) -> TrainingState:
        """The state to resume from; an empty one at the start."""
        state = self.states.load() or TrainingState()
        self._steps_of_best = [int(state.best["step"])] if state.best else []
        return state

    def keep_state(
        self,
        accelerator: Accelerator,
        module: SpokenModel,
        optimizer: AcceleratedOptimizer,
        state: TrainingState,
    ) -> None:
        """Save `state` with the weights of the module and the moments of the optimizer."""
        main = accelerator.is_main_process
        weights, moments = whole_weights(accelerator, module), whole(optimizer.state_dict(), main)
        if main:
            self.states.save(replace(state, model=weights, optimizer=moments))
            self._forget(self._steps_of_best[:-1])
        self._steps_of_best = self._steps_of_best[-1:]

    def keep_best(
        self,
        accelerator: Accelerator,
        module: SpokenModel,
        tokenizer: PreTrainedTokenizerFast,
        step: int,
    ) -> None:
        """Save the best checkpoint so far, beside the one that the saved state names.

        A kill before the next state thus leaves that state with the weights that it speaks of.
        """
        if accelerator.is_main_process:
            self._forget([*self._steps_of_best[1:], step])  # a step's may be half written
        save(accelerator, module, tokenizer, self.states.best(step))
        self._steps_of_best = [*self._steps_of_best[:1], step]

    def _forget(self, steps: list[int]) -> None:
        for step in steps:
            shutil.rmtree(self.states.best(step), ignore_errors=True)

    def write(
        self,
        accelerator: Accelerator,
        module: SpokenModel,
        tokenizer: PreTrainedTokenizerFast,
        best: Path,
        last: Path,
    ) -> None:
        """At the end: the present weights become `last`, the best ones kept become `best`."""
        save(accelerator, module, tokenizer, last)
        if accelerator.is_main_process:
            shutil.copytree(self.states.best(self._steps_of_best[-1]), best, dirs_exist_ok=True)


class NoCheckpoints(Checkpoints):
    """For a training that is only measured, such as a sweep's trial: it writes nothing."""

    def __init__(self) -> None:
        pass

    def load(self) -> TrainingState:
        return TrainingState()

    def keep_state(self, *_: object, **__: object) -> None:
        pass

    def keep_best(self, *_: object, **__: object) -> None:
        pass

    def write(self, *_: object, **__: object) -> None:
        pass


def whole_weights(accelerator: Accelerator, module: SpokenModel) -> dict[str, Tensor]:
    """The module's state, whole, in the main process; all of them must call it."""
    state = module.state_dict(keep_vars=True)  # tied parameters are one object then
    state = whole(state, keep=accelerator.is_main_process)
    return {name: value.detach() for name, value in state.items() if value is not None}


def save(
    accelerator: Accelerator,
    module: SpokenModel,
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
) -> None:
    """Write a plain Hugging Face checkpoint."""
    weights = whole_weights(accelerator, module)
    if accelerator.is_main_process:
        module.save(weights, folder, tokenizer)
