"""The model as training sees it: packed batches in, tallies of text and speech tokens out."""

from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from voxtwist.model import attention
from voxtwist.model.base import save_checkpoint
from voxtwist.model.checkpointing import enable_checkpointing
from voxtwist.model.compilation import compile_layers
from voxtwist.model.embedding import joined_state_dict, split_tables
from voxtwist.model.freezing import freeze
from voxtwist.model.loss import Tally, speech_and_text_loss
from voxtwist.params import Train
from voxtwist.training.batches import Batch
from voxtwist.vocabulary import SpeechVocabulary


class SpokenModel(nn.Module):
    """A causal language model with split tables, packed attention and the loss inside, so that
    its wrappers (DDP, autocast) see one forward."""

    def __init__(
        self, model: PreTrainedModel, vocabulary: SpeechVocabulary, settings: Train
    ) -> None:
        super().__init__()
        attention.register()
        model.set_attn_implementation(attention.NAME)
        enable_checkpointing(model, settings.gradient_checkpointing)
        _, head = split_tables(model, vocabulary.text_size)
        freeze(model, settings.freeze)
        if settings.torch_compile:
            compile_layers(model)
        self.model, self.head = model, head
        self.restrict_speech = settings.restrict_speech
        self.speech_weight = settings.speech_weight
        # In v1 the end of the turn, a text id, ends the speech.
        self.first_speech_label = vocabulary.speech_end or vocabulary.code_offset

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tally]]:
        """The loss of a packed batch, a sum over tokens, and its `text` and `speech` tallies.

        Evaluation has the whole softmax, as stock tools have, unless training never has it.
        """
        restrict_speech = self.restrict_speech
        if not self.training and restrict_speech < 1:
            restrict_speech = 0.0
        hidden = self.model.get_decoder()(
            input_ids=batch.input_ids,
            position_ids=batch.position_ids,
            **attention.sample_bounds(batch.boundaries, batch.input_ids.device),
            use_cache=False,
        ).last_hidden_state[0]
        return speech_and_text_loss(
            hidden,
            batch.labels[0],
            self.head,
            self.first_speech_label,
            restrict_speech,
            self.speech_weight,
        )

    def save(
        self, weights: dict[str, Tensor], folder: Path, tokenizer: PreTrainedTokenizerFast
    ) -> None:
        """Write a plain Hugging Face checkpoint: tables joined, tied where the model ties them.

        Args:
            weights: the state of this module, whole where it is sharded.
        """
        state = {
            name.removeprefix("model."): tensor
            for name, tensor in weights.items()
            if name.startswith("model.")
        }
        with torch.no_grad():
            save_checkpoint(
                self.model.config, joined_state_dict(self.model, state), tokenizer, folder
            )
