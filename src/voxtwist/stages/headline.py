"""Ten headline numbers of a model, out of metrics/*.json: `dvc metrics show metrics/summary.json`.

| number | what it is |
|---|---|
| `loss_text`, `loss_speech` | nats per token after training, evaluation split |
| `acc_base`, `acc_twist`, `acc_sft` | accuracy of the first text suite, of each checkpoint |
| `wer_PART` | word error rate of held-out spoken answers, for each part of the data |
| `dnsmos` | quality of held-out speech, 1 to 5: mean over the parts |
| `tokens_s` | training tokens per second, evaluations included |

A number that was not measured is left out.
"""

import json
from pathlib import Path
from statistics import fmean
from typing import Any

from voxtwist.evaluation.speech.questions import HELD_OUT
from voxtwist.tracking.runs import flatten

SUMMARY = "summary.json"
Metrics = dict[str, Any]


def read_metrics(folder: Path) -> dict[str, Metrics]:
    """Metrics by the name of their file; nested names are joined by `/`."""
    files = (file for file in sorted(folder.glob("*.json")) if file.name != SUMMARY)
    return {file.stem: _read(file) for file in files}


def headline(found: dict[str, Metrics], suite: str) -> dict[str, float]:
    """The numbers by name, rounded to four digits.

    Args:
        found: see `read_metrics`.
        suite: text suite whose accuracy counts.
    """
    train, speech = found.get("train", {}), found.get("speech", {})
    numbers: dict[str, float] = {}
    for kind in ("text", "speech"):
        if f"after/loss_{kind}" in train:
            numbers[f"loss_{kind}"] = train[f"after/loss_{kind}"]
    for checkpoint in ("base", "twist", "sft"):
        measured = found.get(f"text_{checkpoint}", {})
        if f"{suite}/acc" in measured:
            numbers[f"acc_{checkpoint}"] = measured[f"{suite}/acc"]
    for part, value in _by_part(speech, "wer").items():
        numbers[f"wer_{part}"] = value
    quality = _by_part(speech, "dnsmos")
    if quality:
        numbers["dnsmos"] = fmean(quality.values())
    if train.get("seconds"):
        numbers["tokens_s"] = train["tokens"] / train["seconds"]
    return {name: float(f"{value:.4g}") for name, value in numbers.items()}


def _by_part(speech: Metrics, figure: str) -> dict[str, float]:
    """A figure of held-out answers by part of the data: `heldout/PART/FIGURE`."""
    names = (name.split("/") for name in speech)
    return {
        parts[1]: speech["/".join(parts)]
        for parts in names
        if len(parts) == 3 and parts[0] == HELD_OUT and parts[2] == figure
    }


def _read(file: Path) -> Metrics:
    flat = flatten(json.loads(file.read_bytes()))
    return {name.replace(".", "/"): value for name, value in flat.items()}
