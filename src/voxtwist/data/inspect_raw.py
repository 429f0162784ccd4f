"""What is in raw parquet files, before anything is converted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from voxtwist.codec.origin import Origin
from voxtwist.data.raw import open_shard, read_batches, read_origin
from voxtwist.data.reject import SpeechRate, find_rejections
from voxtwist.data.stats import summarise
from voxtwist.vocabulary import split_turns


def describe_raw(
    shards: Sequence[Path], n_codes: int, frame_rate_hz: int, previews: int = 3
) -> dict[str, Any]:
    """Schema, counts, statistics of the usable rows, and the text of the first ones.

    Args:
        n_codes, frame_rate_hz: of the codec: how many codes it has, and its codes per second.

    Raises:
        VoxtwistError: a file that is no raw shard, a column of a wrong type, or a shard that says
            other codes.
    """
    columns: dict[str, str] = {}
    asked = Origin(frame_rate_hz=frame_rate_hz, vocab_size=n_codes)
    for shard in shards:
        with open_shard(shard) as file:
            read_origin(file.schema_arrow, shard).refuse_unless(
                asked, str(shard), "this command was given"
            )
            columns |= {field.name: str(field.type) for field in file.schema_arrow}
    rows = 0
    rejected: Counter[str] = Counter()
    preview: list[dict[str, Any]] = []
    measures: dict[str, list[float]] = {"question characters": [], "answer characters": []}
    measures |= {"seconds": [], "characters per second": []}
    for shard in shards:
        for batch in read_batches(shard):
            rows += len(batch)
            found = find_rejections(batch, n_codes, frame_rate_hz, SpeechRate())
            rejected.update(rejection.reason for rejection in found.values())
            seconds = np.diff(batch.offsets) / frame_rate_hz
            for row in range(len(batch)):
                question, answer = batch.question[row], batch.answer[row]
                if row in found or question is None or answer is None:
                    continue
                characters = len(answer.strip())
                measures["question characters"].append(len(question))
                measures["answer characters"].append(characters)
                measures["seconds"].append(float(seconds[row]))
                measures["characters per second"].append(characters / float(seconds[row]))
                if len(preview) < previews:
                    preview.append(
                        {
                            "shard": shard.name,
                            "row": batch.first_row + row,
                            "question": question,
                            "turns": _turns(question),
                            "answer": answer,
                            "seconds": float(seconds[row]),
                            "codes": batch.codes_of(row)[:8].tolist(),
                        }
                    )
    return {
        "files": len(shards),
        "codes": n_codes,
        "frame_rate_hz": frame_rate_hz,
        "columns": columns,
        "rows": rows,
        "usable": rows - rejected.total(),
        "rejected": dict(rejected),
        "hours of speech": round(sum(measures["seconds"]) / 3600, 3),
        "statistics": {name: summarise(np.array(v)) for name, v in measures.items()},
        "preview": preview,
    }


def _turns(question: str) -> list[str]:
    """Questions and answers in turn; most questions are the only turn."""
    asked = split_turns(question)
    return [question] if isinstance(asked, str) else asked.contents
