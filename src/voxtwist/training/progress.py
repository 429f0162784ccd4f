"""The live line of a training; plain lines now and then where there is no terminal."""

from collections.abc import Mapping

from tqdm import tqdm


class TrainingProgress:
    """Steps done, losses of text and speech, tokens per second, memory, and the time left."""

    def __init__(self, steps: int, done: int, show: bool = True) -> None:
        self._bar = tqdm(
            total=steps,
            initial=done,
            desc="training",
            unit="step",
            mininterval=5,
            dynamic_ncols=True,
            disable=not show,
        )

    def __enter__(self) -> "TrainingProgress":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def update(self, step: int, metrics: Mapping[str, float]) -> None:
        self._bar.set_postfix(
            text=f"{metrics['loss_text']:.2f}",
            speech=f"{metrics['loss_speech']:.2f}",
            tokens=f"{metrics['tokens_per_second']:.0f}/s",
            memory=f"{metrics['memory_gb']:.1f}GB",
            refresh=False,
        )
        self._bar.update(step - self._bar.n)
