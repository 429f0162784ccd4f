"""Training steps, ours against a plain Hugging Face loop; a Markdown section on stdout.

    python benchmarks/training.py [--quick]

The plain way: samples right-padded to 1,024 (longer ones cut, which ours never does; both ways get
the cut ones here, so that the tokens are the same), the model's own forward, all logits upcast to
fp32, cross-entropy. Both ways: fp32 weights, AdamW, the layers of Qwen3-0.6B (eight of its 28) with
its 155,776 rows, speech-like lengths. Each way is a process of its own, in turns, and gives freed
blocks back to the system at once: glibc else keeps those below 32 MB, over a gigabyte of them, and
the peak would tell of its heap instead of what a step holds. Both ways pay some page faults for it.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import Qwen3Config, Qwen3ForCausalLM

from voxtwist import params
from voxtwist.model.embedding import split_tables
from voxtwist.model.freezing import freeze
from voxtwist.model.loss import CHUNK, speech_and_text_loss
from voxtwist.training.batches import Batch
from voxtwist.training.optimizer import build_optimizer
from voxtwist.training.packing import pack, utilisation
from voxtwist.training.spoken_model import SpokenModel

TEXT, ROWS, CODES = 151_673, 155_776, 4096
LONGEST = 1024
PROMPT = 60  # tokens without a label
GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": str(2**20)}  # bytes; a fixed one does not grow
FREEZE = ["none", "text_embeddings", "lower_layers:2", "lora:16", "all_but_new"]
OURS = {
    "ours": {"freeze": "none"},
    "ours, selective checkpointing": {"freeze": "none", "gradient_checkpointing": "selective"},
    # What presets/slam-omni.yaml freezes.
    "ours, also text rows frozen": {
        "freeze": "text_embeddings",
        "gradient_checkpointing": "selective",
    },
}


class Vocabulary:
    """What `SpokenModel` asks of a `SpeechVocabulary`, for Qwen3 in format v1.1."""

    text_size = 151_669
    speech_end = 151_672
    code_offset = TEXT


def lengths(count: int, longest: int | None = LONGEST) -> np.ndarray:
    """Like VoiceAssistant-400K: mean 834, most below 1,381, a longer tail; cut at `longest`."""
    return np.random.default_rng(0).gamma(9.0, 834 / 9.0, count).astype(int).clip(200, longest)


def model_of(layers: int) -> Qwen3ForCausalLM:
    torch.manual_seed(0)
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=ROWS, hidden_size=1024, intermediate_size=3072, num_hidden_layers=layers,
            num_attention_heads=16, num_key_value_heads=8, head_dim=128, tie_word_embeddings=True,
        )
    )  # fmt: skip


def sample(length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A prompt, a quarter as much text, and speech."""
    text = PROMPT + (length - PROMPT) // 5
    ids = torch.cat(
        [torch.randint(0, 100_000, (text,)), torch.randint(TEXT, TEXT + CODES, (length - text,))]
    )
    labels = ids.clone()
    labels[:PROMPT] = -100
    return ids, labels


def packed(own: list[int]) -> Batch:
    """Samples of these lengths in one row."""
    parts = [sample(length) for length in own]
    return Batch(
        torch.cat([ids for ids, _ in parts]).unsqueeze(0),
        torch.cat([labels for _, labels in parts]).unsqueeze(0),
        torch.cat([torch.arange(n) for n in own]).unsqueeze(0),
        torch.tensor([0, *np.cumsum(own)], dtype=torch.int32),
    )


def plain_steps(layers: int, samples: np.ndarray, rows: int) -> list[float]:
    """Seconds of the steps of a padded loop, `rows` samples each."""
    model = model_of(layers)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    times = []
    for start in range(0, len(samples), rows):
        batch = [sample(length) for length in samples[start : start + rows]]
        ids = torch.zeros(len(batch), LONGEST, dtype=torch.long)
        labels = torch.full_like(ids, -100)
        mask = torch.zeros_like(ids)
        for row, (row_ids, row_labels) in enumerate(batch):
            ids[row, : len(row_ids)], labels[row, : len(row_ids)] = row_ids, row_labels
            mask[row, : len(row_ids)] = 1
        begun = time.perf_counter()
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits.float()
        cross_entropy(logits[:, :-1].reshape(-1, ROWS), labels[:, 1:].reshape(-1)).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        times.append(time.perf_counter() - begun)
    return times


def our_steps(layers: int, samples: np.ndarray, budget: int, **train: str) -> list[float]:
    """Seconds of the steps of our loop, a packed row each."""
    settings = params.load().train.model_copy(
        update={"restrict_speech": False, "batch_tokens": budget, **train}
    )
    model = SpokenModel(model_of(layers), Vocabulary(), settings)  # type: ignore[arg-type]
    optimizer = build_optimizer(model, settings)
    times = []
    for row in pack(samples, budget, seed=0):
        batch = packed([int(samples[number]) for number in row])
        begun = time.perf_counter()
        loss, tallies = model(batch)
        (loss / (tallies["text"].count + tallies["speech"].count)).backward()
        learning = [p for p in model.parameters() if p.requires_grad]
        nn.utils.clip_grad_norm_(learning, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        times.append(time.perf_counter() - begun)
    return times


def measure(way: str, layers: int, count: int, rows: int) -> dict[str, float]:
    """Useful tokens a second and peak memory (GB) of one way, in this process."""
    samples = lengths(count)
    times = (
        plain_steps(layers, samples, rows)
        if way == "plain"
        else our_steps(layers, samples, rows * LONGEST, **OURS[way])
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return {"tokens_per_second": int(samples.sum()) / sum(times), "peak_gb": peak}


def optimizer_gb(freeze_variant: str) -> float:
    """Memory of gradients and AdamW's two moments for the whole Qwen3-0.6B, computed on `meta`."""
    with torch.device("meta"):
        model = model_of(28)
        split_tables(model, Vocabulary.text_size)
        freeze(model, freeze_variant)
    learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return learning * 4 * 3 / 1e9


def measured_optimizer_mb(freeze_variant: str) -> tuple[float, float]:
    """Megabytes of gradients and moments that a step really holds, and the computed ones.

    Four narrow layers with a table of the full height, so that the table weighs as it does there.
    """
    settings = params.load().train.model_copy(update={"freeze": freeze_variant})
    config = Qwen3Config(
        vocab_size=ROWS, hidden_size=64, intermediate_size=192, num_hidden_layers=4,
        num_attention_heads=4, num_key_value_heads=2, head_dim=16, tie_word_embeddings=True,
    )  # fmt: skip
    model = SpokenModel(Qwen3ForCausalLM(config), Vocabulary(), settings)  # type: ignore[arg-type]
    optimizer = build_optimizer(model, settings)
    model(packed([400]))[0].backward()
    optimizer.step()
    held = [p.grad for p in model.parameters() if p.grad is not None]
    held += [value for state in optimizer.state.values() for value in state.values()]
    learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return sum(tensor.nbytes for tensor in held) / 1e6, learning * 4 * 3 / 1e6


class Clock:
    """Seconds inside modules of one kind, forward, recomputed and backward."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def watch(self, module: nn.Module, part: str) -> None:
        begun: list[float] = []

        def start(*_: object) -> None:
            begun.append(time.perf_counter())

        def stop(*_: object) -> None:
            spent = time.perf_counter() - begun.pop()
            self.seconds[part] = self.seconds.get(part, 0.0) + spent

        module.register_forward_pre_hook(start)
        module.register_forward_hook(stop)
        module.register_full_backward_pre_hook(start)
        module.register_full_backward_hook(stop)


def split_of_time(layers: int, tokens: int) -> dict[str, tuple[float, float]]:
    """Seconds of each part of a step of ours, and of its matrix products alone."""
    settings = params.load().train.model_copy(update={"freeze": "none", "restrict_speech": False})
    model = SpokenModel(model_of(layers), Vocabulary(), settings)  # type: ignore[arg-type]
    optimizer = build_optimizer(model, settings)
    clock = Clock()
    for layer in model.model.get_decoder().layers:
        clock.watch(layer.self_attn, "attention")
        clock.watch(layer.mlp, "MLP")
    batch = packed([LONGEST] * (tokens // LONGEST))
    for _ in range(2):  # the first one allocates gradients and moments
        clock.seconds.clear()
        begun = time.perf_counter()
        hidden = model.model.get_decoder()(
            input_ids=batch.input_ids, position_ids=batch.position_ids,
            boundaries=batch.boundaries, use_cache=False,
        ).last_hidden_state[0]  # fmt: skip
        # The head on its own: its gradient ends at the hidden states.
        cut = hidden.detach().requires_grad_()
        head = time.perf_counter()
        speech_and_text_loss(cut, batch.labels[0], model.head, Vocabulary.speech_end)[0].backward()
        clock.seconds["head and loss"] = time.perf_counter() - head
        hidden.backward(cut.grad)
        update = time.perf_counter()
        optimizer.step()
        optimizer.zero_grad()
        clock.seconds["optimizer"] = time.perf_counter() - update
        clock.seconds["all"] = time.perf_counter() - begun
    rows = int((batch.labels != -100).sum())
    alone = products(layers, tokens, rows)
    return {part: (seconds, alone.get(part, 0.0)) for part, seconds in clock.seconds.items()}


def products(layers: int, tokens: int, supervised: int) -> dict[str, float]:
    """Seconds of the matrix products of a step: forward once, backward twice."""

    def product(n: int, k: int, m: int) -> float:
        left, right = torch.randn(n, k), torch.randn(k, m)
        left @ right
        times = []
        for _ in range(5):
            begun = time.perf_counter()
            left @ right
            times.append(time.perf_counter() - begun)
        return statistics.median(times)

    attention = product(tokens, 1024, 2048) + 2 * product(tokens, 1024, 1024)
    attention += product(tokens, 2048, 1024)
    mlp = 2 * product(tokens, 1024, 3072) + product(tokens, 3072, 1024)
    head = product(min(CHUNK, supervised), 1024, ROWS) * supervised / min(CHUNK, supervised)
    return {"attention": 3 * layers * attention, "MLP": 3 * layers * mlp, "head and loss": 3 * head}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--measure", nargs=4, metavar=("WAY", "LAYERS", "COUNT", "ROWS"))
    arguments = parser.parse_args()
    if arguments.measure:
        way, *sizes = arguments.measure
        print(json.dumps(measure(way, *map(int, sizes))))
        return
    layers, count, rows, rounds = (2, 4, 2, 1) if arguments.quick else (8, 8, 4, 2)

    def run(way: str) -> dict[str, float]:
        sizes = map(str, (layers, count, rows))
        command = [sys.executable, __file__, "--measure", way, *sizes]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, check=True, env={**os.environ, **GIVE_BACK}
        )
        return json.loads(done.stdout)

    measured: dict[str, list[dict[str, float]]] = {way: [] for way in ("plain", *OURS)}
    for _ in range(rounds):
        for way, runs in measured.items():
            runs.append(run(way))
    median = {
        name: {key: statistics.median(row[key] for row in rows_) for key in rows_[0]}
        for name, rows_ in measured.items()
    }
    drawn = lengths(2000, longest=None)
    used = utilisation(drawn, pack(drawn, 4096, 0), 4096)
    print("## Training\n")
    print(
        f"{layers} layers of Qwen3-0.6B's width, {ROWS:,} rows, {count} samples of "
        f"{lengths(count).mean():.0f} tokens on average, {rows} × {LONGEST} tokens a step, fp32, "
        f"{torch.get_num_threads()} threads, median of {rounds}. Useful tokens are those of the "
        "samples; freed blocks of 1 MiB and more go back to the system at once, in all ways "
        f"(MALLOC_MMAP_THRESHOLD_). Packing fills {used:.1%} of 4,096 tokens on 2,000 such lengths "
        f"with their tail; padding to {LONGEST}, which cuts it, "
        f"{drawn.clip(max=LONGEST).mean() / LONGEST:.1%}.\n"
    )
    print("| | useful tokens/s | against plain | peak memory, GB | against plain |")
    print("|---|---|---|---|---|")
    for name, row in median.items():
        speed, peak = row["tokens_per_second"], row["peak_gb"]
        plain = median["plain"]
        print(
            f"| {name} | {speed:.1f} | {speed / plain['tokens_per_second']:.2f} × | {peak:.1f} | "
            f"{peak / plain['peak_gb']:.2f} × |"
        )
    tokens = rows * LONGEST
    print(f"\nWhere the time of a step of ours goes ({tokens} tokens), one step measured:\n")
    print("| part | seconds | share | its matrix products alone | share of the part |")
    print("|---|---|---|---|---|")
    split = split_of_time(layers, tokens)
    total = split.pop("all")[0]
    split["the rest"] = (total - sum(seconds for seconds, _ in split.values()), 0.0)
    for name, (seconds, alone) in split.items():
        matmul = f"{alone:.2f} | {alone / seconds:.0%}" if alone else "none |"
        print(f"| {name} | {seconds:.2f} | {seconds / total:.0%} | {matmul} |")
    print(
        "\nGradients and AdamW's moments by `train.freeze`: what a step of a narrow model with "
        "the full table holds, measured and computed, and the whole Qwen3-0.6B, computed:\n"
    )
    print("| freeze | measured, MB | computed, MB | Qwen3-0.6B, GB |\n|---|---|---|---|")
    for variant in FREEZE:
        found, expected = measured_optimizer_mb(variant)
        print(f"| {variant} | {found:.1f} | {expected:.1f} | {optimizer_gb(variant):.2f} |")
    print(
        "\nNot measured: an H100. 440 M weights in the layers and 160 M in the head make 3.6 GFLOP "
        "a token; at 40 % of 989 TFLOP/s in bf16 that is 110,000 tokens a second, an hour for the "
        "386 M tokens of an epoch.\n"
    )


if __name__ == "__main__":
    main()
