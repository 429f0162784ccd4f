"""Fine-tuning: a thin Accelerate loop over packed rows."""

import math
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, gather_object, set_seed
from torch.distributed.tensor import DTensor

from voxtwist.data.index import TokenIndex
from voxtwist.device import best_device, choose_precision
from voxtwist.errors import VoxtwistError
from voxtwist.interrupt import Stopped, StopRequest
from voxtwist.model.attention import has_kernel
from voxtwist.model.base import load_model, load_tokenizer
from voxtwist.model.loss import Tally
from voxtwist.model.size import count_weights
from voxtwist.model.twist import speech_mass
from voxtwist.params import Train
from voxtwist.training.batches import (
    Batch,
    disturb_speech,
    every_row,
    plan_steps,
    read_batch,
    unlabelled,
)
from voxtwist.training.checkpoints import Checkpoints, save
from voxtwist.training.metrics import add_tallies, memory_gb, reduce_tallies, summarise_losses
from voxtwist.training.optimizer import build_optimizer, build_schedule
from voxtwist.training.packing import utilisation
from voxtwist.training.progress import TrainingProgress
from voxtwist.training.run import Metrics, NoRun, OpenRun, Run
from voxtwist.training.sharding import asked_to_shard, load_optimizer, shard
from voxtwist.training.spoken_model import SpokenModel
from voxtwist.training.state import StateFolder
from voxtwist.training.text_keeper import PULL_STEPS, TextKeeper, read_passages
from voxtwist.training.utilisation import mfu, training_flops
from voxtwist.vocabulary import IGNORED_LABEL, SpeechVocabulary


def train(
    start: Path,
    train_file: Path,
    eval_file: Path,
    best: Path,
    last: Path,
    settings: Train,
    seed: int,
    states: StateFolder,
    open_run: OpenRun,
) -> dict[str, Any]:
    """Fine-tune the checkpoint `start`; write the `best` and the `last` checkpoint.

    Args:
        states: a killed training resumes from here, with the same result.
        open_run: opens the tracked run: a new one for None, or again the one of that id. Only the
            main process opens it.

    Returns:
        `run_id` (empty except in the main process), `steps`, `tokens`, `seconds`, `precision`, and
        under `before`, `after` (the best checkpoint: lowest `loss` on the evaluation split) and
        `last` the evaluation's `loss_text`, `loss_speech` (nats per token), `accuracy_text`,
        `accuracy_speech`, `loss`; under `last_step` the metrics of the last optimizer step's
        training samples.

    Raises:
        VoxtwistError: a gradient that is not finite, or `torch_compile` with checkpointing where
            nothing can be compiled.
        Stopped: SIGTERM came or `max_hours` are over; the state is saved, the next call resumes.
    """
    trainer = Trainer(start, train_file, eval_file, settings, seed, Checkpoints(states))
    main = trainer.accelerator.is_main_process
    with open_run(states.run_id) if main else nullcontext(NoRun()) as run:
        if main:
            states.run_id = run.id
        result = trainer.run(run)
        trainer.write(best, last)
    trainer.accelerator.wait_for_everyone()
    if main:
        states.remove()
    return result


class Trainer:
    """Model, data, optimizer and state of one training; `checkpoints` is what it writes."""

    def __init__(
        self,
        start: Path,
        train_file: Path,
        eval_file: Path,
        settings: Train,
        seed: int,
        checkpoints: Checkpoints,
    ) -> None:
        set_seed(seed)
        self.settings, self.seed, self.checkpoints = settings, seed, checkpoints
        # 1. The state to resume from, and its arithmetic.
        device = torch.device(best_device())
        self.state = checkpoints.load()
        self.precision = self.state.precision or choose_precision(settings.precision, device)
        self.state.precision = self.precision
        dtype = torch.bfloat16 if self.precision == "bf16" else torch.float32
        if (
            settings.torch_compile
            and settings.gradient_checkpointing != "none"
            and not has_kernel(device, dtype)
        ):
            raise VoxtwistError(
                "train.torch_compile with train.gradient_checkpointing needs bf16 on a GPU: here "
                "nothing of a layer could be compiled; set one of them to false or none"
            )
        # 2. The processes that train together.
        self.sharded = asked_to_shard()
        self.accelerator = Accelerator(
            mixed_precision="bf16" if self.precision == "bf16" else "no",
            cpu=device.type == "cpu",
            # There are no buffers that differ between processes.
            kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
        )
        # 3. The model: split tables, frozen parts, packed attention.
        self.tokenizer = load_tokenizer(start)
        model = load_model(start)
        if not self.state.step and self.accelerator.is_main_process:
            self.start_speech_mass = speech_mass(model, self.tokenizer)
        self.vocabulary = SpeechVocabulary.from_tokenizer(self.tokenizer)
        self.module = SpokenModel(model, self.vocabulary, settings)
        self.size = count_weights(model)
        self.keeper = None
        if settings.keep_text:
            texts = read_passages(settings.text)
            self.keeper = TextKeeper(model, self.tokenizer, texts, settings.keep_text)
        # 4. The data, planned into steps of whole rows.
        self.data, self.eval_data = TokenIndex.open(train_file), TokenIndex.open(eval_file)
        self.steps = plan_steps(
            np.asarray(self.data.lengths), settings, self.accelerator.num_processes, seed
        )
        # 5. Weights of the state, then shards, then the optimizer over them and its state.
        if self.state.step:
            self.module.load_state_dict(self.state.model)
        if self.sharded:
            shard(self.module, self.accelerator)
        if self.keeper:
            self.keeper.attach(self.module.model)
        optimizer = build_optimizer(self.module, settings)
        self.schedule = build_schedule(optimizer, len(self.steps), settings)
        if self.state.step:
            load_optimizer(optimizer, self.state.optimizer)
            self.schedule.load_state_dict(self.state.schedule)
            self.state.model, self.state.optimizer = {}, {}  # copied: free the memory
        # 6. What Accelerate wraps: the model of every device, and the optimizer.
        self.module.train()
        self.model = self.module if self.sharded else self.accelerator.prepare(self.module)
        self.optimizer = self.accelerator.prepare(optimizer)
        self.start_clock()

    def run(self, run: Run, before: Metrics | None = None) -> dict[str, Any]:
        """Take all steps; see `train`.

        Args:
            before: the evaluation of the start, where it is known already.
        """
        settings, state = self.settings, self.state
        if not state.step:
            state.before = before or self.evaluate(run, 0)
            if before:
                log_evaluation(run, before, 0)
            if self.accelerator.is_main_process:
                run.log_metrics({"twist/speech_mass": self.start_speech_mass})
        rows = [row for step in self.steps for row in step]
        used = utilisation(np.asarray(self.data.lengths), rows, settings.batch_tokens)
        run.log_metrics({"train/packing_utilisation": used})
        after, metrics = state.before, {}
        self.start_clock()
        main = self.accelerator.is_main_process
        with (
            TrainingProgress(len(self.steps), state.step, show=main) as progress,
            StopRequest(settings.max_hours) as stop,
        ):
            for step in range(state.step + 1, len(self.steps) + 1):
                metrics = self.optimizer_step(step)
                progress.update(step, metrics)
                last = step == len(self.steps)
                if last or step % settings.log_steps == 0:
                    run.log_metrics(
                        {f"train/{name}": value for name, value in metrics.items()}, step
                    )
                if last or step % settings.eval_steps == 0:
                    after = self.evaluate(run, step)
                    self.keep_if_best(after, step)
                stop_reason = None if last else self.agree(stop.reason)
                if not last and (stop_reason or step % settings.save_steps == 0):
                    run.keep_metrics()
                    self.keep_state(step)
                if stop_reason:
                    raise Stopped(stop_reason, step, len(self.steps))
        return {
            "run_id": run.id,
            "steps": len(self.steps),
            "tokens": self.tokens,
            "seconds": round(self.seconds, 1),
            "precision": self.precision,
            "devices": self.accelerator.num_processes,
            "before": state.before,
            "after": state.best,
            "last": after,
            "last_step": metrics,
        }

    def optimizer_step(self, step: int) -> Metrics:
        """Forward and backward over this process's rows of the step, then the update."""
        rank, processes = self.accelerator.process_index, self.accelerator.num_processes
        batches = [self.batch(row, step) for row in self.steps[step - 1][rank::processes]]
        weight = self.loss_weight(batches)
        sums: dict[str, Tally] = {}
        for number, batch in enumerate(batches, start=1):
            # Gradients are exchanged once per step; sharded ones every time: no device holds all.
            exchange = self.sharded or number == len(batches)
            with nullcontext() if exchange else self.accelerator.no_sync(self.model):
                with self.accelerator.autocast():
                    loss, tallies = self.model(batch.to(self.accelerator.device))
                # DDP averages over processes; the weight counts all of them together.
                self.accelerator.backward(loss * processes / weight)
            add_tallies(sums, tallies)
        norm = self.clip_gradients()
        if not math.isfinite(norm):
            raise VoxtwistError(
                f"the gradient is {norm} at step {step}: lower train.learning_rate or "
                "train.new_rows_learning_rate"
            )
        self.optimizer.step()
        if self.keeper and (step % PULL_STEPS == 0 or step == len(self.steps)):
            self.keeper.pull()
        self.schedule.step()
        self.optimizer.zero_grad()
        sums = reduce_tallies(sums, self.accelerator)
        self.count_work(step, sums)
        elapsed = time.perf_counter() - self.started
        metrics = {
            **summarise_losses(sums, self.settings.speech_weight),
            "gradient_norm": norm,
            "learning_rate": self.optimizer.param_groups[-1]["lr"],
            "new_rows_learning_rate": self.optimizer.param_groups[0]["lr"],
            "tokens_per_second": (self.tokens - self.state.tokens) / elapsed,
            "memory_gb": memory_gb(),
        }
        used = mfu(self.flops / elapsed, processes)
        return metrics if used is None else {**metrics, "mfu": used}

    def batch(self, samples: np.ndarray, step: int) -> Batch:
        """A row of a step as training reads it: evaluation has no `speech_dropout`."""
        settings = self.settings
        if not len(samples):  # a device without a share of a small step takes part all the same
            return unlabelled(read_batch(self.data, np.array([0])))
        batch = read_batch(self.data, samples, padded=settings.batching != "packed")
        if not settings.speech_dropout:
            return batch
        return disturb_speech(
            batch, samples, settings.speech_dropout, self.vocabulary, [self.seed, step]
        )

    def clip_gradients(self) -> float:
        """Scale gradients down to `max_grad_norm` over all of them; the norm before that."""
        learning = [p for p in self.model.parameters() if p.requires_grad]
        norm = self.accelerator.clip_grad_norm_(learning, self.settings.max_grad_norm)
        return float(norm.full_tensor() if isinstance(norm, DTensor) else norm)

    def count_work(self, step: int, tallies: dict[str, Tally]) -> None:
        """Tokens and floating-point operations of a step, all processes together."""
        lengths = np.concatenate([self.data.lengths[row] for row in self.steps[step - 1]])
        self.tokens += int(lengths.sum())
        text, speech = (float(tallies[kind].count) for kind in ("text", "speech"))
        squares = float(np.square(lengths, dtype=np.float64).sum())
        self.flops += training_flops(
            self.size, self.settings, float(lengths.sum()), squares, text, speech
        )

    def start_clock(self) -> None:
        """Seconds, tokens and operations count from here, after those of an earlier process."""
        self.tokens, self.flops = self.state.tokens, 0.0
        self.started = time.perf_counter()

    @property
    def seconds(self) -> float:
        return self.state.seconds + time.perf_counter() - self.started

    def agree(self, reason: str | None) -> str | None:
        """A reason to stop that any process has stops all of them at the same step."""
        if self.accelerator.num_processes == 1:
            return reason
        reasons = gather_object([reason])
        return next((reason for reason in reasons if reason), None)

    def loss_weight(self, batches: list[Batch]) -> float:
        """Supervised tokens of the step over all processes, speech ones times `speech_weight`."""
        labels = torch.cat([batch.labels[0] for batch in batches])
        supervised = labels[labels != IGNORED_LABEL]
        speech = (supervised >= self.module.first_speech_label).sum()
        weight = len(supervised) - speech + self.settings.speech_weight * speech
        total = float(self.accelerator.reduce(weight.to(self.accelerator.device), "sum"))
        return total or 1.0  # nothing to learn in this step: its gradients are zero

    @torch.no_grad()
    def evaluate(self, run: Run, step: int) -> Metrics:
        """Loss and top-1 accuracy of text and speech tokens on the evaluation split."""
        self.model.eval()
        rank, processes = self.accelerator.process_index, self.accelerator.num_processes
        sums = {kind: Tally.empty(self.accelerator.device) for kind in ("text", "speech")}
        settings = self.settings
        rows = every_row(self.eval_data, settings.batch_tokens, settings.eval_samples, self.seed)
        for first in range(0, len(rows), processes):
            # Sharded forwards need all processes: one without a row repeats the last.
            number = min(first + rank, len(rows) - 1)
            batch = read_batch(self.eval_data, rows[number]).to(self.accelerator.device)
            with self.accelerator.autocast():
                _, tallies = self.module(batch)  # not DDP's forward, which waits for a backward
            if number == first + rank:
                add_tallies(sums, tallies)
        self.model.train()
        metrics = summarise_losses(reduce_tallies(sums, self.accelerator), settings.speech_weight)
        log_evaluation(run, metrics, step)
        return metrics

    def keep_if_best(self, metrics: Metrics, step: int) -> None:
        if metrics["loss"] < self.state.best.get("loss", math.inf):
            self.state.best = {**metrics, "step": step}
            self.checkpoints.keep_best(self.accelerator, self.module, self.tokenizer, step)

    def keep_state(self, step: int) -> None:
        state = replace(
            self.state,
            step=step,
            tokens=self.tokens,
            seconds=self.seconds,
            schedule=self.schedule.state_dict(),
        )
        self.checkpoints.keep_state(self.accelerator, self.module, self.optimizer, state)

    def write(self, best: Path, last: Path) -> None:
        self.checkpoints.write(self.accelerator, self.module, self.tokenizer, best, last)

    def save(self, folder: Path) -> None:
        """Write the present weights as a plain Hugging Face checkpoint."""
        save(self.accelerator, self.module, self.tokenizer, folder)


def log_evaluation(run: Run, metrics: Metrics, step: int) -> None:
    run.log_metrics({f"eval/{name}": value for name, value in metrics.items()}, step)
