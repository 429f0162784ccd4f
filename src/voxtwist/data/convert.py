"""Raw parquet to SFT JSONL: every shard a part in a work folder, then all parts in order, at once.

Threads are enough for all cores: tokenization runs in Rust threads and reading in Arrow, both
without Python's lock.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import orjson
import pyarrow.parquet as pq

from voxtwist.data.files import rejected_path, rows_path, write_atomically, writing
from voxtwist.data.part import (
    ROWS_SCHEMA,
    ConvertSettings,
    Counts,
    Part,
    convert_shard,
)
from voxtwist.data.raw import find_shards, open_shard, read_origin
from voxtwist.errors import VoxtwistError

Progress = Callable[[int], object]
"""Called with the number of rows of each shard that is finished."""


@dataclass(frozen=True)
class Plan:
    """Which rows of which shards make which parts.

    Attributes:
        shards: the raw files in order.
        rows: how many rows of each are converted.
        folder: where the parts go; its name is a fingerprint of settings and shards, so that parts
            of other settings or of changed shards are never taken up.
    """

    shards: list[Path]
    rows: list[int]
    folder: Path

    def part(self, number: int) -> Part:
        return Part(self.folder, number)

    def convert(self, number: int, settings: ConvertSettings) -> Counts:
        return convert_shard(self.shards[number], self.rows[number], self.part(number), settings)


def work_folder(output: Path) -> Path:
    """Where parts are kept until the output is complete."""
    return output.with_name(f"{output.name}.parts")


def plan_conversion(
    source: str | Path, settings: ConvertSettings, work: Path, num_samples: int | None = None
) -> Plan:
    """Looks at all shards (footers only) and makes the work folder with its manifest.

    Args:
        num_samples: convert only that many of the first rows.

    Raises:
        VoxtwistError: no shards, or one that is broken, lacks a column, or says that its codes
            are of another codec, rate or number than the settings'.
    """
    shards, rows, left = [], [], num_samples
    for shard in find_shards(source):
        if left == 0:
            break
        with open_shard(shard) as file:
            count = file.metadata.num_rows
            said = read_origin(file.schema_arrow, shard)
        said.refuse_unless(settings.origin, str(shard), "the settings say")
        if left is not None:
            count = min(count, left)
            left -= count
        shards.append(shard)
        rows.append(count)
    folder = work / fingerprint(shards, rows, settings)
    folder.mkdir(parents=True, exist_ok=True)
    manifest = [{"shard": str(s.resolve()), "rows": n} for s, n in zip(shards, rows, strict=True)]
    write_atomically(folder / "manifest.json", orjson.dumps(manifest))
    return Plan(shards, rows, folder)


def fingerprint(shards: Sequence[Path], rows: Sequence[int], settings: ConvertSettings) -> str:
    """16 hex digits that change with the settings, the tokenizer, and any shard's size or time.

    The codec's name only decides which shards are refused: `voxtwist convert` knows none.
    """
    state = vars(settings) | {
        "codec": None,
        "rows": str(ROWS_SCHEMA),
        "chat": vars(settings.chat) | {"text": settings.chat.text.digest},
        "shards": [
            (shard.name, count, shard.stat().st_size, shard.stat().st_mtime_ns)
            for shard, count in zip(shards, rows, strict=True)
        ],
    }
    return hashlib.blake2b(repr(state).encode(), digest_size=8).hexdigest()


def convert_parts(
    plan: Plan,
    settings: ConvertSettings,
    numbers: Sequence[int],
    workers: int,
    progress: Progress = lambda rows: None,
) -> None:
    """Converts some of a plan's shards in parallel; finished ones are passed over.

    Raises:
        VoxtwistError: of the first shard that fails; those under way are finished first.
    """
    with ThreadPoolExecutor(workers) as pool:
        jobs = [pool.submit(plan.convert, number, settings) for number in numbers]
        try:
            for job in jobs:
                progress(job.result().rows_in)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def convert(
    source: str | Path,
    output: Path,
    settings: ConvertSettings,
    workers: int = 2,
    num_samples: int | None = None,
    work: Path | None = None,
    progress: Progress = lambda rows: None,
) -> Counts:
    """Converts all shards and writes `output`, its ``.rows.parquet`` and ``rejected.jsonl``.

    Args:
        source: folder, glob pattern or file of raw parquet.
        work: folder for finished parts; a run that was killed goes on from there.

    Raises:
        VoxtwistError: see `plan_conversion` and `convert_parts`.
    """
    plan = plan_conversion(source, settings, work or work_folder(output), num_samples)
    convert_parts(plan, settings, range(len(plan.shards)), workers, progress)
    return assemble(plan, output)


def merge(output: Path, work: Path | None = None) -> Counts:
    """Assembles `output` from parts that other machines have made in its work folder.

    Raises:
        VoxtwistError: there is no such work, more than one, or parts are missing.
    """
    work = work or work_folder(output)
    manifests = sorted(work.glob("*/manifest.json"))
    if len(manifests) != 1:
        found = ", ".join(m.parent.name for m in manifests) or "nothing"
        raise VoxtwistError(
            f"{work} must hold the parts of one conversion and holds {found}: run `voxtwist "
            "convert` with --shard-index and --num-shards first, and delete what is not wanted"
        )
    manifest = orjson.loads(manifests[0].read_bytes())
    shards = [Path(entry["shard"]) for entry in manifest]
    return assemble(
        Plan(shards, [entry["rows"] for entry in manifest], manifests[0].parent), output
    )


def assemble(plan: Plan, output: Path) -> Counts:
    """Joins all parts in order of the shards, each file atomically and the JSONL last.

    Raises:
        VoxtwistError: a part is missing or does not have its shard's number of rows, or every
            row was rejected.
    """
    parts = [plan.part(number) for number in range(len(plan.shards))]
    total = add_up(plan)
    output.parent.mkdir(parents=True, exist_ok=True)
    with (
        writing(rows_path(output)) as path,
        pq.ParquetWriter(path, pq.read_schema(parts[0].rows)) as table,
    ):
        for part in parts:
            with pq.ParquetFile(part.rows) as rows:
                for batch in rows.iter_batches():
                    table.write_batch(batch)
    join_files([part.rejected for part in parts], rejected_path(output))
    if not total.rows_out:
        raise VoxtwistError(f"no row can be used: see the reasons in {rejected_path(output)}")
    join_files([part.jsonl for part in parts], output)
    shutil.rmtree(plan.folder)
    if not any(plan.folder.parent.iterdir()):
        plan.folder.parent.rmdir()
    return total


def add_up(plan: Plan) -> Counts:
    total = Counts(0, 0, {})
    missing = []
    for number, shard in enumerate(plan.shards):
        counts = plan.part(number).read_counts()
        if counts is None:
            missing.append(shard.name)
        elif counts.rows_in != plan.rows[number]:
            raise VoxtwistError(
                f"the part of {shard.name} has {counts.rows_in} rows instead of "
                f"{plan.rows[number]}: delete {plan.folder} and convert again"
            )
        else:
            total += counts
    if missing:
        raise VoxtwistError(
            f"{len(missing)} of {len(plan.shards)} shards are not converted yet, the first is "
            f"{missing[0]}: run `voxtwist convert` for them, with the same settings"
        )
    return total


def join_files(sources: Sequence[Path], target: Path) -> None:
    with writing(target) as path, path.open("wb") as joined:
        for source in sources:
            with source.open("rb") as file:
                shutil.copyfileobj(file, joined, 1 << 20)
