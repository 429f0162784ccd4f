"""The packaged model as MLflow loads it: questions in, spoken answers out.

This file is MLflow's "model from code": it runs when the package is loaded, with a copy of
`voxtwist` that travels in the package, so that nothing of this project need be installed.
"""

import io
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import soundfile
from mlflow.pyfunc import PythonModel, PythonModelContext

from voxtwist.codec.base import SpeechCodec
from voxtwist.codec.loading import load_codec
from voxtwist.device import best_device
from voxtwist.inference.generate import generate
from voxtwist.model.base import load_model, load_tokenizer
from voxtwist.params import Codec, Generate
from voxtwist.vocabulary import Spoken


class SpokenAnswers(PythonModel):
    """A checkpoint and the codec that its speech is decoded with."""

    def load_context(self, context: PythonModelContext) -> None:
        config, files = dict(context.model_config), context.artifacts
        checkpoint = Path(files["checkpoint"])
        places = {"path": files["codec"], "prompt_audio": files.get("prompt_audio")}
        self.codec: SpeechCodec = load_codec(Codec(**config["codec"] | places))
        self.settings = Generate(**config["generate"])
        self.tokenizer = load_tokenizer(checkpoint)
        self.model = load_model(checkpoint, device=best_device())

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> list[dict[str, Any]]:
        """Answer every row.

        Args:
            model_input: column `question`, and `seed` (of every row or of none, then 0) for sampled
                answers: a question has the same answer for the same seed, whatever it is asked
                together with.

        Returns:
            A row each: `text`, `speech_tokens` (codes), `wav` (bytes; without speech, of no
            samples) and `sample_rate` in Hz.
        """
        questions = model_input["question"].tolist()
        seeds = [0] * len(questions)
        if "seed" in model_input:
            seeds = model_input["seed"].tolist()
        return [self._row(answer) for answer in self._answer(questions, seeds)]

    def _answer(self, questions: list[str], seeds: list[int]) -> list[Spoken]:
        asked = list(zip(questions, seeds, strict=True))
        if self.settings.temperature == 0:  # seeds change nothing
            batches = [asked] if asked else []
        else:  # rows of a batch share the random numbers: each is drawn alone
            batches = [[row] for row in asked]
        return [answer for batch in batches for answer in self._batch(batch)]

    def _batch(self, asked: list[tuple[str, int]]) -> list[Spoken]:
        questions = [question for question, _ in asked]
        rate, seed = self.codec.frame_rate_hz, asked[0][1]
        return generate(
            self.model, self.tokenizer, questions, self.settings, rate, seed, progress=False
        )

    def _row(self, answer: Spoken) -> dict[str, Any]:
        rate = self.codec.sample_rate
        audible = len(answer.codes) > 0
        waveform = self.codec.decode(answer.codes) if audible else np.zeros(0, np.float32)
        wav = io.BytesIO()
        soundfile.write(wav, waveform, rate, format="WAV", subtype="PCM_16")
        return {
            "text": answer.text.strip(),
            "speech_tokens": answer.codes.tolist(),
            "wav": wav.getvalue(),
            "sample_rate": rate,
        }


mlflow.models.set_model(SpokenAnswers())
