"""Load a packaged model in a fresh process and let it answer: the result must be speech.

Run as a plain script, away from this project's packages: the package must stand on its own.
It prints `{"text": …, "seconds": …, "code": …, "requirements": [...]}`.
"""

import io
import json
import sys
from pathlib import Path

import mlflow
import soundfile


def main(uri: str, question: str) -> None:
    model = mlflow.pyfunc.load_model(uri)
    (row,) = model.predict([{"question": question, "seed": 0}])
    waveform, rate = soundfile.read(io.BytesIO(row["wav"]))
    if rate != row["sample_rate"]:
        raise ValueError(f"the WAV has {rate} Hz, the row says {row['sample_rate']}")
    if not row["text"]:
        raise ValueError("it answers with no text")
    if not row["speech_tokens"] or not len(waveform):
        raise ValueError("it answers with no speech")
    code = Path(sys.modules["voxtwist"].__file__ or "").parent
    print(json.dumps({"text": row["text"], "seconds": len(waveform) / rate, "code": str(code)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
