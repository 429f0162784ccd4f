"""What a trial costs besides its training; a Markdown section on stdout.

    python benchmarks/sweep.py [--quick]

A study on the embedded model (twisted with the default scheme), one worker, made-up samples as long
as those of the embedded corpus. Steps and evaluations are timed inside the training, everything
else of a trial is its overhead: loading the model, planning, the MLflow run, the retention's
measurement, telling the study.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

ROOT = Path(__file__).parents[1]
BAR = 5.0  # seconds


def make_project(folder: Path, trials: int, steps: int) -> None:
    """Checkpoints, splits and settings, as the pipeline leaves them."""
    from voxtwist import params
    from voxtwist.model.base import fetch_base, load_tokenizer
    from voxtwist.model.twist import twist_checkpoint
    from voxtwist.vocabulary import ChatFormat

    settings = yaml.safe_load((ROOT / "params.yaml").read_bytes())
    settings["twist"]["init"] = "mean+std"
    settings["sweep"] |= {
        "space": {"train.learning_rate": {"log": [1e-4, 1e-3]}},
        "trials": trials,
        "max_steps": steps,
        "eval_steps": steps,
        "pruner": "none",
        "margin": 100.0,
    }
    (folder / "params.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    loaded = params.load(folder / "params.yaml")
    base, start = folder / "checkpoints" / "base", folder / "checkpoints" / "twist"
    fetch_base("embedded", None, base)
    twist_checkpoint(base, start, loaded.codec, loaded.data.format, loaded.twist, loaded.seed)
    chat = ChatFormat.from_tokenizer(load_tokenizer(start))
    generator = np.random.default_rng(0)
    splits = folder / "data" / "splits"
    splits.mkdir(parents=True)
    for name, count in (("train", 200), ("eval", 60)):
        questions = [f"How far is number {i}?" for i in range(count)]
        codes = [generator.integers(0, loaded.codec.n_codes, 90) for _ in range(count)]
        samples = chat.encode_batch(questions, ["It is near."] * count, codes)
        rows = (
            orjson.dumps({"input_ids": s.input_ids.tolist(), "labels": s.labels.tolist()}) + b"\n"
            for s in samples
        )
        (splits / f"{name}.jsonl").write_bytes(b"".join(rows))
        pq.write_table(pa.table({"question": questions}), splits / f"{name}.rows.parquet")
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)


def measure(folder: Path) -> list[dict[str, float]]:
    """Seconds of each trial, in this process: all of it, and its training."""
    from voxtwist import params
    from voxtwist.sweep.job import Paths
    from voxtwist.sweep.run import make_job, prepare
    from voxtwist.sweep.runs import parent_run
    from voxtwist.sweep.space import Space
    from voxtwist.sweep.study import open_storage, open_study
    from voxtwist.sweep.trial import Trials
    from voxtwist.sweep.worker import next_trial

    job = make_job(
        Space(params.load()), Paths("checkpoints/base", "checkpoints/twist", "data/splits"), None
    )
    job.scratch.mkdir(parents=True)
    study = open_study(open_storage(job.storage), job.study, job.params.sweep)
    prepare(job, study)
    rows = []
    with parent_run(job, study):
        trials = Trials(job, study)
        while True:
            begun = time.perf_counter()
            trial = next_trial(trials)
            if trial is None:
                return rows
            trials.run(trial)
            whole = time.perf_counter() - begun
            rows.append({"trial": whole, "training": trial.user_attrs["seconds"]})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--measure", action="store_true")
    arguments = parser.parse_args()
    if arguments.measure:
        print(orjson.dumps(measure(Path())).decode())
        return
    trials, steps = (2, 2) if arguments.quick else (4, 6)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_project(folder, trials, steps)
        command = [sys.executable, str(Path(__file__).resolve()), "--measure"]
        done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, check=True)
        rows = orjson.loads(done.stdout.splitlines()[-1])
    print("## Sweep\n")
    print(
        f"{trials} trials of {steps} steps of 640 tokens and two evaluations of 40 samples, the "
        "embedded model (135 M weights), one worker. Overhead: what a trial takes besides "
        f"steps and evaluations. The bar is {BAR:g} s.\n"
    )
    print("| trial | whole, s | training, s | overhead, s |\n|---|---|---|---|")
    for number, row in enumerate(rows):
        overhead = row["trial"] - row["training"]
        print(f"| {number} | {row['trial']:.1f} | {row['training']:.1f} | {overhead:.1f} |")
    overheads = [row["trial"] - row["training"] for row in rows]
    print(f"\nMedian overhead {statistics.median(overheads):.1f} s.\n")


if __name__ == "__main__":
    main()
