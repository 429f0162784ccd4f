"""Whether a model can still read: what it makes of text that it is not trained on.

The answers' own text tells nothing, since training lowers its NLL whatever else is lost. `text_nll`
is the NLL of plain text of general knowledge, over all rows, so that probability that goes to
speech counts as lost too. It is exact, and takes a forward pass over some thousand tokens; the
error rate of a suite is what one wants in the end, but on a few hundred questions it has a
standard error of three points.
"""

from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast

from voxtwist.errors import VoxtwistError
from voxtwist.evaluation.held_out import trained_on
from voxtwist.evaluation.text.trivia import trivia
from voxtwist.params import Sweep
from voxtwist.training.batches import IGNORE, Batch, join
from voxtwist.training.packing import pack
from voxtwist.training.train import Trainer

TEXT_NLL = "text_nll"


def passages(settings: Sweep, train: Path) -> list[str]:
    """The first `text_samples` passages: lines of `sweep.text`, or trivia with their answers.

    Trivia questions that are in the training split are left out.

    Raises:
        VoxtwistError: the file is missing, or there is no passage.
    """
    if settings.text is None:
        questions = trivia()
        known = trained_on([question.question for question in questions], train)
        found = [
            f"{question.question} {question.choices[question.label]}."
            for question, trained in zip(questions, known, strict=True)
            if not trained
        ]
    else:
        try:
            lines = Path(settings.text).read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise VoxtwistError(f"sweep.text {settings.text}: {error.strerror}") from None
        found = [line.strip() for line in lines if line.strip()]
    if not found:
        raise VoxtwistError(
            f"sweep.text {settings.text or 'null'} gives no passage that was not trained on"
        )
    return found[: settings.text_samples]


def text_batches(texts: list[str], tokenizer: PreTrainedTokenizerFast, budget: int) -> list[Batch]:
    """Plain texts, packed into rows of about `budget` tokens; all but their first tokens count."""
    rows = [
        {"input_ids": np.array(ids), "labels": np.array([IGNORE, *ids[1:]])}
        for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]
    ]
    lengths = np.array([len(row["input_ids"]) for row in rows])
    return [join([rows[sample] for sample in row]) for row in pack(lengths, budget, seed=0)]


@torch.no_grad()
def text_nll(trainer: Trainer, batches: list[Batch]) -> float:
    """Nats a token of plain text under the model in training."""
    trainer.model.eval()
    nll = count = 0.0
    for batch in batches:
        with trainer.accelerator.autocast():
            _, tallies = trainer.module(batch.to(trainer.accelerator.device))
        nll += float(tallies["text"].nll)
        count += float(tallies["text"].count)
    trainer.model.train()
    return nll / count
