"""How many spoken answers a second, in batches of 16 and one by one; Markdown on stdout.

    python benchmarks/generation.py [--quick]

A model of SmolLM2-135M's size with 2,048 codes and random weights, greedy and constrained to legal
tokens, which makes every answer as long as allowed: no batch waits for its longest. One thread, in
turns. The limit of the machine is what one decoding step cannot do
without: one product with every weight matrix, for the same number of rows.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from voxtwist.inference.generate import generate
from voxtwist.model.base import unpack_embedded
from voxtwist.params import Generate
from voxtwist.vocabulary import extend_tokenizer

BATCH = 16
N_CODES = 2048
RATE = 50  # codes per second
BAR = 4.0  # times as many answers a second as one by one


def smollm2_like(rows: int) -> LlamaForCausalLM:
    """SmolLM2-135M with `rows` embeddings and random weights."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=rows, hidden_size=576, intermediate_size=1536, num_hidden_layers=30,
        num_attention_heads=9, num_key_value_heads=3, tie_word_embeddings=True,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


@torch.inference_mode()
def matrices_alone(model: nn.Module, rows: int, steps: int) -> None:
    """`steps` products of `rows` vectors with every weight matrix: no decoding is faster."""
    weights = [module.weight for module in model.modules() if isinstance(module, nn.Linear)]
    inputs = {weight.shape[1]: torch.randn(rows, weight.shape[1]) for weight in weights}
    for _ in range(steps):
        for weight in weights:
            nn.functional.linear(inputs[weight.shape[1]], weight)


def seconds(action: Callable[[], object]) -> float:
    start = time.process_time()
    action()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    rounds, speech_seconds = (1, 0.3) if quick else (3, 2.0)
    torch.set_num_threads(1)
    tokenizer = extend_tokenizer(unpack_embedded()[1], N_CODES, "v1.1")
    model = smollm2_like(len(tokenizer))
    questions = [f"How much is {i} plus {i + 7}?" for i in range(BATCH)]

    def settings(batch_size: int) -> Generate:
        return Generate(
            temperature=0.0, top_p=1.0, top_k=0, repetition_penalty=1.0, max_text_tokens=12,
            max_speech_seconds=speech_seconds, batch_size=batch_size, constrained=True,
        )  # fmt: skip

    def answer(count: int, batch_size: int) -> Callable[[], object]:
        return lambda: generate(
            model, tokenizer, questions[:count], settings(batch_size), RATE, 0, progress=False
        )

    (first,) = generate(model, tokenizer, questions[:1], settings(1), RATE, 0, progress=False)
    steps = len(first.codes) + 12 + 5  # text, marks and the end of the turn
    singles = 1 if quick else 3
    batched = f"batch of {BATCH}"
    # What is measured, and how many answers come out of it.
    ways = {
        "one by one": (answer(singles, 1), singles),
        batched: (answer(BATCH, BATCH), BATCH),
        "limit, one by one": (lambda: matrices_alone(model, 1, steps), 1),
        f"limit, {batched}": (lambda: matrices_alone(model, BATCH, steps), BATCH),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (action, answers) in ways.items():
            times[name].append(seconds(action) / answers)
    medians = {name: statistics.median(measured) for name, measured in times.items()}
    print("## Generation\n")
    print(
        f"{sum(p.numel() for p in model.parameters()) / 1e6:.0f}M parameters in float32, "
        f"{steps} tokens an answer, one thread, median of {rounds}. "
        f"Peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB.\n"
    )
    print("| | answers a CPU-second | against one by one | of the machine's limit |")
    print("|---|---|---|---|")
    single = medians["one by one"]
    for name in ("one by one", batched):
        took, limit = medians[name], medians[f"limit, {name}"]
        print(f"| {name} | {1 / took:.2f} | {single / took:.1f} × | {limit / took:.0%} |")
    ratio = single / medians[batched]
    print(f"\nAt least {BAR:.0f} × is wanted: {'met' if ratio >= BAR else 'missed'}.\n")


if __name__ == "__main__":
    main()
