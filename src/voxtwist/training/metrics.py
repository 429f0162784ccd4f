"""From tallies of tokens to named metrics."""

import psutil
import torch
from accelerate import Accelerator

from voxtwist.model.loss import Tally


def add_tallies(sums: dict[str, Tally], tallies: dict[str, Tally]) -> None:
    """Add the tallies of one batch to those so far."""
    for kind, new in tallies.items():
        if kind in sums:
            old = sums[kind]
            new = Tally(old.nll + new.nll, old.hits + new.hits, old.count + new.count)
        sums[kind] = new


def reduce_tallies(sums: dict[str, Tally], accelerator: Accelerator) -> dict[str, Tally]:
    """The tallies of all processes together."""
    return {
        kind: Tally(*accelerator.reduce(torch.stack([t.nll, t.hits, t.count]), "sum"))
        for kind, t in sums.items()
    }


def summarise_losses(tallies: dict[str, Tally], speech_weight: float) -> dict[str, float]:
    """`loss_text`, `loss_speech`: nats per token; `accuracy_*`: top-1; `loss`: the objective."""
    text, speech = tallies["text"], tallies["speech"]
    metrics = {}
    for kind, tally in tallies.items():
        count = max(float(tally.count), 1.0)
        metrics[f"loss_{kind}"] = float(tally.nll) / count
        metrics[f"accuracy_{kind}"] = float(tally.hits) / count
    weighted = float(text.nll) + speech_weight * float(speech.nll)
    weight = float(text.count) + speech_weight * float(speech.count)
    return metrics | {"loss": weighted / max(weight, 1e-9)}


def memory_gb() -> float:
    """Allocated on the GPU if there is one, else resident in this process, in 10^9 bytes."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9
    return psutil.Process().memory_info().rss / 1e9
