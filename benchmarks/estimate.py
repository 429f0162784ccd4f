"""What `voxtwist estimate` predicts for this CPU against measured steps; a Markdown section.

    python benchmarks/estimate.py [--quick]

Predicted from the speed of bare matrix products; measured with the training loop's own model, loss
and optimizer. No layer is left out of the measured models: they are small enough to be run whole.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

import torch
from transformers import LlamaConfig, Qwen3Config

from voxtwist import params
from voxtwist.params import Params
from voxtwist.preflight.estimate import sample_flops, voice_assistant
from voxtwist.preflight.model_size import model_size
from voxtwist.preflight.probe import _step_seconds, measure_products

TOKENS = 834  # one average sample
SHAPES = {
    "Llama, 8 layers of 256": LlamaConfig(
        vocab_size=49_152, hidden_size=256, intermediate_size=768, num_hidden_layers=8,
        num_attention_heads=4, num_key_value_heads=2, head_dim=64, tie_word_embeddings=True,
    ),
    "SmolLM2's width, 10 layers": LlamaConfig(
        vocab_size=49_152, hidden_size=576, intermediate_size=1536, num_hidden_layers=10,
        num_attention_heads=9, num_key_value_heads=3, head_dim=64, tie_word_embeddings=True,
    ),
    "Qwen3-0.6B's width, 4 layers": Qwen3Config(
        vocab_size=151_936, hidden_size=1024, intermediate_size=3072, num_hidden_layers=4,
        num_attention_heads=16, num_key_value_heads=8, head_dim=128, tie_word_embeddings=True,
    ),
}  # fmt: skip


def settings_for(folder: Path, freeze: str) -> Params:
    loaded = params.load()
    train = {"batch_tokens": TOKENS, "freeze": freeze, "precision": "fp32"}
    return loaded.model_copy(
        update={
            "base": params.Base(model=str(folder), revision=None),
            "train": loaded.train.model_copy(update=train | {"restrict_speech": False}),
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    seconds = 1 if parser.parse_args().quick else 10
    print("## Estimates against measured steps\n")
    print(
        f"fp32, {torch.get_num_threads()} threads. Products: GFLOP/s of bare matrix products of "
        "these sizes. Reached: the share of it in a training step.\n"
    )
    print("| model | freeze | products | FLOPs predicted, G | step, s | reached |")
    print("|---|---|---|---|---|---|")
    reached = []
    for name, config in SHAPES.items():
        for freeze in ("none", "text_embeddings"):
            with tempfile.TemporaryDirectory() as folder:
                config.save_pretrained(folder)
                settings = settings_for(Path(folder), freeze)
                size = model_size(settings)
                data = voice_assistant(settings.codec.frame_rate_hz)
                work = sample_flops(size, data, settings.train)
                speed = measure_products(size, TOKENS, "fp32", seconds / 5)
                step, _ = _step_seconds(settings, data, None, TOKENS, seconds)
            reached.append(work / step / speed)
            print(
                f"| {name} | {freeze} | {speed / 1e9:.0f} | {work / 1e9:.0f} | {step:.2f} | "
                f"{reached[-1]:.2f} |",
                flush=True,
            )
    print(f"\nMedian reached: {statistics.median(reached):.2f}.\n")


if __name__ == "__main__":
    main()
