"""What a trial is judged by: how well the trained model speaks, and how well it still reads."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast

from voxtwist.codec.loading import load_codec
from voxtwist.errors import VoxtwistError
from voxtwist.evaluation.held_out import is_trained, trained_hashes
from voxtwist.evaluation.speech.evaluate import evaluate_speech
from voxtwist.evaluation.speech.judges import Judges
from voxtwist.evaluation.speech.questions import HELD_OUT
from voxtwist.evaluation.text.evaluate import evaluate_text
from voxtwist.evaluation.text.trivia import trivia
from voxtwist.params import Params, Sweep
from voxtwist.sweep.job import Paths
from voxtwist.training.batches import Batch, join
from voxtwist.training.packing import pack
from voxtwist.training.train import Trainer
from voxtwist.vocabulary import IGNORED_LABEL


@dataclass(frozen=True)
class Measured:
    """Lower is better.

    Attributes:
        objective: held-out NLL of speech in nats per token, or WER.
        retention: nats a token of plain text, or the error rate of a suite.
    """

    objective: float
    retention: float


class Measurer:
    """Everything that measuring needs and no trial changes, made once."""

    def __init__(self, params: Params, paths: Paths, scratch: Path) -> None:
        """
        Raises:
            VoxtwistError: `sweep.text` cannot be read, or a judge is missing.
        """
        self.params, self.paths, self.scratch = params, paths, scratch
        sweep = params.sweep
        if sweep.retention == TEXT_NLL:
            self._texts = passages(sweep, paths.train)
        if sweep.objective == "wer":
            self._codec = load_codec(params.codec)
            self._judges = Judges.load(params.evaluate_speech, params.codec.prompt_audio)

    def measure(self, trainer: Trainer, speech_nll: float, audio: Path) -> Measured:
        """Judge the weights that training ended with.

        Args:
            audio: folder for the answers, where any are spoken.
        """
        by_wer = self.params.sweep.objective == "wer"
        by_suite = self.params.sweep.retention != TEXT_NLL
        if not by_wer and not by_suite:
            return _finite(speech_nll, self.retention(trainer))
        self.scratch.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=self.scratch) as folder:
            checkpoint = Path(folder)
            trainer.save(checkpoint)
            objective = self._wer(checkpoint, audio) if by_wer else speech_nll
            forgot = self.suite_error(checkpoint) if by_suite else self.retention(trainer)
        return _finite(objective, forgot)

    def retention(self, trainer: Trainer) -> float:
        """`text_nll` of the model as it is."""
        budget = self.params.train.batch_tokens
        return text_nll(trainer, text_batches(self._texts, trainer.tokenizer, budget))

    def suite_error(self, checkpoint: Path) -> float:
        """Share of a suite's questions that a checkpoint gets wrong."""
        settings = self.params.evaluate_text
        suite = self.params.sweep.retention
        metrics = evaluate_text(
            checkpoint,
            [suite],
            limit=settings.limit,
            batch_size=settings.batch_size,
            datasets=Path(settings.datasets) if settings.datasets else None,
            train=self.paths.train,
        ).metrics
        return 1 - accuracy(metrics, suite)

    def _wer(self, checkpoint: Path, audio: Path) -> float:
        figures = evaluate_speech(
            checkpoint,
            self.paths.train,
            self.paths.eval,
            self._codec,
            self._judges,
            self.params.generate.model_copy(update={"server": None}),  # it serves no trial
            self.params.evaluate_speech,
            self.params.seed,
            audio,
        )
        return held_out_wer({name: figure.value for name, figure in figures.items()})


def held_out_wer(figures: Mapping[str, Any]) -> float:
    """The mean of the corpus' parts."""
    parts = [
        value
        for name, value in figures.items()
        if name.startswith(f"{HELD_OUT}/") and name.endswith("/wer")
    ]
    return sum(parts) / len(parts)


def accuracy(metrics: Mapping[str, float], suite: str) -> float:
    """Share of a suite's questions answered right; letters by the strict filter.

    Raises:
        VoxtwistError: the suite measures something else.
    """
    for name in (f"{suite}/acc", f"{suite}/exact_match/strict", f"{suite}/exact_match"):
        if name in metrics:
            return metrics[name]
    raise VoxtwistError(
        f"sweep.retention is {suite}, which has no accuracy: choose text_nll or another suite"
    )


def _finite(objective: float, retention: float) -> Measured:
    for name, value in (("objective", objective), ("retention", retention)):
        if not math.isfinite(value):
            raise VoxtwistError(f"the {name} is {value}: the training has diverged")
    return Measured(objective, retention)


TEXT_NLL = "text_nll"


def passages(settings: Sweep, train: Path) -> list[str]:
    """The first `text_samples` passages: lines of `sweep.text`, or trivia with their answers.

    Trivia questions that are in the training split are left out.

    Raises:
        VoxtwistError: the file is missing, or there is no passage.
    """
    if settings.text is None:
        questions = trivia()
        known = is_trained([question.question for question in questions], trained_hashes(train))
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
        {"input_ids": np.array(ids), "labels": np.array([IGNORED_LABEL, *ids[1:]])}
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
