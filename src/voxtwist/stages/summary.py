"""What a run of the pipeline made, as one short table out of metrics/*.json.

Read are, nested names joined by `/`:

- convert: `rows_out`, `hours_of_speech`, `rejected/all`; split: `train`, `eval` (samples)
- train: `before/*` and `after/*` of `loss_text` and `loss_speech` (nats per token, eval split)
- text_twist and text_sft: `SUITE/acc`, `SUITE/acc_stderr`
- speech: `GROUP/PART/wer`, for example `heldout/numbers/wer`, and its `intervals/GROUP/PART/wer`
- register: `model`, `version`

Missing files are skipped, because a preset may omit stages.
"""

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from voxtwist.errors import VoxtwistError
from voxtwist.stages.headline import Metrics, read_metrics

Row = tuple[str, str, str]  # what, before fine-tuning, after
# What a run leaves to git; all else is DVC's, named in the locks.
RESULTS = ("params.yaml", "dvc.lock", "pipelines", "metrics")


def show_summary(folder: Path, console: Console | None = None) -> None:
    """Print the table, and what to do next.

    Raises:
        VoxtwistError: nothing has been measured yet.
    """
    found = read_metrics(folder)
    if not found:
        raise VoxtwistError(f"{folder} holds no metrics: run `make repro`")
    table = Table("", "before", "after", header_style="bold", box=None, pad_edge=False)
    for row in summary_rows(found):
        table.add_row(*row)
    console = console or Console()
    console.print(table)
    console.print("Next: `make ui` shows and plays it all; change params.yaml and run again.")
    console.print(f"To keep the results: `git add {' '.join(RESULTS)} && git commit -m ...`")


def summary_rows(found: dict[str, Metrics]) -> Iterator[Row]:
    """The table's rows. Args: metrics by the name of their file."""
    convert, split, train, twist, sft, speech, version = (
        found.get(name, {})
        for name in ("convert", "split", "train", "text_twist", "text_sft", "speech", "register")
    )
    if convert:
        yield "samples", "", f"{convert['rows_out']:,} ({convert['rejected/all']:,} rejected)"
        yield "hours of speech", "", f"{convert['hours_of_speech']:.2f}"
    if split:
        yield "training / held-out samples", "", f"{split['train']:,} / {split['eval']:,}"
    if train:
        for kind in ("text", "speech"):
            before, after = (train[f"{when}/loss_{kind}"] for when in ("before", "after"))
            yield f"loss of {kind} tokens", f"{before:.2f}", f"{after:.2f}"
    for name in sft:
        if name.endswith("/acc"):
            yield f"{name[:-4]} accuracy", _accuracy(twist, name), _accuracy(sft, name)
    for name, value in speech.items():
        if name.endswith("/wer") and not name.startswith("intervals/"):
            low, high, _ = speech[f"intervals/{name}"]
            yield (
                f"WER, {name[:-4].replace('/', ' ')}",
                "",
                f"{value:.2f} ({low:.2f} to {high:.2f})",
            )
    if version:
        yield "registered", "", f"{version['model']} version {version['version']}"


def _accuracy(metrics: Metrics, name: str) -> str:
    if name not in metrics:
        return ""
    return f"{metrics[name]:.1%} ± {metrics[f'{name}_stderr']:.1%}"
