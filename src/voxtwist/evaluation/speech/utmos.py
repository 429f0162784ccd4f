"""UTMOS (Saeki et al. 2022, the strong learner): predicted naturalness of speech, 1 (bad) to 5.

Neither code nor weights are on PyPI: they are read from a clone of the GitHub repository
tarepan/SpeechMOS, whose weights belong into torch.hub's folder of checkpoints.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from voxtwist.errors import VoxtwistError

MODEL = "utmos22_strong"


class Utmos:
    """Scores clips one by one.

    Args:
        clone: folder of the repository.

    Raises:
        VoxtwistError: no clone there, or its weights are not.
    """

    def __init__(self, clone: Path) -> None:
        if not (clone / "hubconf.py").is_file():
            raise VoxtwistError(
                f"evaluate_speech.utmos is {clone}, but {clone / 'hubconf.py'} is missing: clone "
                "tarepan/SpeechMOS there, or set it to null"
            )
        try:
            model: Any = torch.hub.load(str(clone), MODEL, source="local")
        except OSError as error:
            raise VoxtwistError(
                f"the weights of {MODEL} are neither in {Path(torch.hub.get_dir()) / 'checkpoints'}"
                f" nor can they be fetched ({error}): put them there, or set evaluate_speech.utmos "
                "to null"
            ) from None
        self._model = model.eval()

    @torch.inference_mode()
    def score(self, waveforms: Sequence[np.ndarray], rate: int) -> list[float]:
        """Mono float32 waveforms (N,) in [-1, 1], none of them empty -> one score each."""
        return [
            float(self._model(torch.from_numpy(waveform)[None], rate))
            for waveform in tqdm(waveforms, "scoring naturalness", unit=" clips", disable=None)
        ]
