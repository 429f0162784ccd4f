"""Seconds of compute per second of audio of the CosyVoice decoder at 300M size, on one CPU thread.

Weights are random: what is measured is speed, and how far each option's mel spectrogram moves from
that of float32 and ten Euler steps. `python benchmarks/cosyvoice.py [--quick]` prints a section of
Markdown; --quick takes shorter audio and leaves out torch.compile, which takes minutes to compile.
"""

import argparse
import contextlib
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from voxtwist.codec.cosyvoice import CosyVoice, Prompt
from voxtwist.codec.cosyvoice.config import CosyVoiceConfig
from voxtwist.codec.cosyvoice.flow import Flow
from voxtwist.codec.cosyvoice.vocoder import Vocoder

PUBLISHED = Path(__file__).parent.parent / "tests/codec/data/cosyvoice/300m"
BAR = 3.5  # CPU-seconds per second of audio, without a prompt
PROMPT_SECONDS = 3.0
BATCH = 4
COMPONENTS = ("Flow.encoder", "Flow.length_regulator", "Flow.decoder", "Vocoder")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="2 s instead of 5, once, no compile")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    torch.manual_seed(0)
    seconds, repeats = (2, 1) if quick else (5, 3)

    model = random_model()
    voice = Prompt.built_in(torch.randn(1, 192), 80)
    tokens = torch.randint(4096, (seconds * model.flow.token_rate,))
    limit = matmul_speed()
    model.decode(tokens, voice)  # first calls allocate

    print(f"## CosyVoice v1 decoder, 300M, one thread, {seconds} s of audio\n")
    total = print_components(model, tokens, voice, limit, repeats)
    verdict = "met" if total < BAR else "missed"
    print(f"\nBar: under {BAR} CPU-seconds per second of audio: **{total:.2f}, {verdict}**.")
    print(f"The machine's matmul (float32, 1024³): {limit:.0f} GFLOP/s.\n")
    print_prompt_and_batch(model, tokens, voice, total, repeats)
    print()
    print_options(model, tokens, voice, repeats, compiled=not quick)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"\nPeak memory of all of the above: {peak:.1f} GiB.")


def random_model() -> CosyVoice:
    config = CosyVoiceConfig.read(PUBLISHED)
    flow = Flow(config).eval().requires_grad_(False)
    vocoder = Vocoder(config.hift).eval().requires_grad_(False)
    return CosyVoice(config, flow, vocoder, PUBLISHED, "cpu")


def cpu_seconds(function: Callable[[], object], repeats: int) -> float:
    """The fastest of some runs, in CPU time: other programs on the machine count less."""
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        function()
        best = min(best, time.process_time() - start)
    return best


def matmul_speed() -> float:
    """GFLOP/s of float32 (1024, 1024) @ (1024, 1024)."""
    a = torch.randn(1024, 1024)
    return 2 * 1024**3 / cpu_seconds(lambda: a @ a, repeats=20) / 1e9


@contextlib.contextmanager
def stopwatch(model: CosyVoice) -> Iterator[dict[str, float]]:
    """CPU-seconds spent in each component while the context lasts."""
    spent = dict.fromkeys(COMPONENTS, 0.0)
    hooks = []
    for name in COMPONENTS:
        root, _, path = name.partition(".")
        module = (model.flow if root == "Flow" else model.vocoder).get_submodule(path)

        def begin(*_: object, name: str = name) -> None:
            spent[name] -= time.process_time()

        def end(*_: object, name: str = name) -> None:
            spent[name] += time.process_time()

        hooks += [module.register_forward_pre_hook(begin), module.register_forward_hook(end)]
    yield spent
    for hook in hooks:
        hook.remove()


def print_components(
    model: CosyVoice, tokens: torch.Tensor, voice: Prompt, limit: float, repeats: int
) -> float:
    """The table by component; returns CPU-seconds per second of audio."""
    with FlopCounterMode(display=False) as counter:
        model.decode(tokens, voice)
    counts = counter.get_flop_counts()
    duration = len(tokens) / model.flow.token_rate
    runs = []
    for _ in range(repeats):
        with stopwatch(model) as spent:
            whole = cpu_seconds(lambda: model.decode(tokens, voice), 1)
        runs.append(spent | {"all": whole})
    best = min(runs, key=lambda run: run["all"])
    print("| component | CPU-s per s | GFLOP per s | GFLOP/s reached | of the matmul limit |")
    print("|---|---|---|---|---|")
    flops_of_all = sum(counts["Global"].values())
    rows = [(name, best[name], sum(counts[name].values())) for name in COMPONENTS]
    for name, seconds, flops in [*rows, ("**all**", best["all"], flops_of_all)]:
        speed = flops / seconds / 1e9
        print(
            f"| {name} | {seconds / duration:.3f} | {flops / duration / 1e9:.1f} | {speed:.0f} "
            f"| {speed / limit:.0%} |"
        )
    return best["all"] / duration


def print_prompt_and_batch(
    model: CosyVoice, tokens: torch.Tensor, voice: Prompt, alone: float, repeats: int
) -> None:
    rate = model.flow.token_rate
    n_prompt = int(PROMPT_SECONDS * rate)
    prompt_mel = torch.randn(1, model.flow.frames(n_prompt), 80)
    prompt = Prompt(voice.speaker, tokens[None, :n_prompt], prompt_mel)
    prompted = cpu_seconds(lambda: model.decode(tokens, prompt), repeats) / (len(tokens) / rate)
    many = [tokens.roll(i) for i in range(BATCH)]
    lengths = [len(tokens) * (BATCH - i) // BATCH for i in range(BATCH)]
    ragged = [row[:length] for row, length in zip(many, lengths, strict=True)]

    def per_second(batch_size: int, utterances: list[torch.Tensor]) -> float:
        audio = sum(len(row) for row in utterances) / rate
        run = model.decode_many
        return cpu_seconds(lambda: list(run(utterances, voice, batch_size=batch_size)), 1) / audio

    print("| way | CPU-s per s | against one alone |")
    print("|---|---|---|")
    for name, cost in [
        ("one alone", alone),
        (f"with a prompt of {PROMPT_SECONDS:.0f} s, already prepared", prompted),
        (f"{BATCH} of equal length, one by one", per_second(1, many)),
        (f"{BATCH} of equal length, one batch", per_second(BATCH, many)),
        (f"{BATCH} of {lengths[-1]}–{lengths[0]} tokens, one by one", per_second(1, ragged)),
        (f"{BATCH} of {lengths[-1]}–{lengths[0]} tokens, one batch", per_second(BATCH, ragged)),
    ]:
        print(f"| {name} | {cost:.2f} | {cost / alone:.2f} |")


def print_options(
    model: CosyVoice, tokens: torch.Tensor, voice: Prompt, repeats: int, compiled: bool
) -> None:
    """Options of the flow; the error is the RMS difference over the RMS of the reference."""
    noise = torch.randn(1, 80, model.flow.frames(len(tokens)))

    def flow(steps: int = 10) -> torch.Tensor:
        return model.flow(tokens[None], voice.speaker, noise=noise, steps=steps)

    def flow_bf16() -> torch.Tensor:
        model.flow.decoder.precision = torch.bfloat16
        mel = flow()
        model.flow.decoder.precision = torch.float32
        return mel

    reference = flow()
    options: list[tuple[str, Callable[[], torch.Tensor]]] = [
        ("float32, 10 steps", flow),
        ("7 steps", lambda: flow(7)),
        ("5 steps", lambda: flow(5)),
        ("U-Net in bf16", flow_bf16),
    ]
    if compiled:
        estimator = model.flow.decoder.estimator
        options.append(("U-Net compiled", flow))
    print("| flow | CPU-s per s | error of the mel |")
    print("|---|---|---|")
    for name, run in options:
        if name == "U-Net compiled":
            estimator.compile()
            run()
        cost, mel = cpu_seconds(run, repeats), run()
        error = ((mel - reference).square().mean() / reference.square().mean()).sqrt().item()
        print(f"| {name} | {cost / (len(tokens) / model.flow.token_rate):.2f} | {error:.1e} |")


if __name__ == "__main__":
    main()
