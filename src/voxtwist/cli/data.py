"""`voxtwist convert`, `merge`, `split` and `tokenize`: from raw data to what training reads."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from voxtwist.cli.codes import Codes, FrameRate, resolve_origin
from voxtwist.errors import VoxtwistError

if TYPE_CHECKING:
    from voxtwist.codec.base import SpeechCodec
    from voxtwist.data.part import Counts


class Format(StrEnum):
    v1 = "v1"
    v1_1 = "v1.1"


class TooLong(StrEnum):
    reject = "reject"
    keep = "keep"


class Backend(StrEnum):
    threads = "threads"
    ray = "ray"


class GroupBy(StrEnum):
    question = "question"
    answer = "answer"


class CodecName(StrEnum):
    kmeans = "kmeans"
    cosyvoice = "cosyvoice"


def register(app: typer.Typer) -> None:
    app.command("convert")(convert)
    app.command("merge")(merge)
    app.command("split")(split)
    app.command("tokenize")(tokenize)


@contextmanager
def progress_bar(title: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar on stderr; yields a function that moves it on."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield lambda done: progress.advance(task, done)


def convert(
    input: Annotated[str, typer.Option(help="Folder, glob pattern or file of raw parquet.")],
    output: Annotated[Path, typer.Option(help="The .jsonl to write.")],
    tokenizer: Annotated[str, typer.Option(help="Folder or hub name of the base model.")],
    format: Annotated[Format, typer.Option(help="v1.1 marks text and speech.")] = Format.v1_1,
    codes: Codes = None,
    frame_rate: FrameRate = None,
    num_samples: Annotated[int | None, typer.Option(min=1, help="First rows only.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Shards at a time.")] = 2,
    max_length: Annotated[int | None, typer.Option(min=1, help="Tokens of a sample.")] = None,
    too_long: Annotated[
        TooLong, typer.Option(help="Samples over --max-length; none is ever cut.")
    ] = TooLong.reject,
    shard_index: Annotated[int, typer.Option(help="This job's number, from 0.")] = 0,
    num_shards: Annotated[
        int, typer.Option(min=1, help="Jobs that share the work; then `voxtwist merge`.")
    ] = 1,
    backend: Annotated[Backend, typer.Option(help="Where shards are converted.")] = Backend.threads,
    work: Annotated[
        Path | None,
        typer.Option(
            help="Folder for finished shards; default OUTPUT.parts. In .scratch/convert "
            "`dvc repro` finds them."
        ),
    ] = None,
    metrics: Annotated[Path | None, typer.Option(help="JSON file for the statistics.")] = None,
    plots: Annotated[Path | None, typer.Option(help="Folder for the histograms.")] = None,
) -> None:
    """Turn raw parquet into SFT samples. A run that was stopped goes on where it was."""
    from voxtwist.data.convert import assemble, convert_parts, plan_conversion, work_folder
    from voxtwist.data.part import ConvertSettings
    from voxtwist.data.raw import find_shards
    from voxtwist.vocabulary import ChatFormat, load_extended_tokenizer

    if not 0 <= shard_index < num_shards:
        raise VoxtwistError(
            f"--shard-index is {shard_index}; with --num-shards {num_shards} "
            f"it must be from 0 to {num_shards - 1}"
        )
    n_codes, rate = resolve_origin(find_shards(input), codes, frame_rate)
    chat = ChatFormat.from_tokenizer(load_extended_tokenizer(tokenizer, n_codes, format.value))
    settings = ConvertSettings(chat, rate, max_length, too_long.value)
    plan = plan_conversion(input, settings, work or work_folder(output), num_samples)
    mine = range(shard_index, len(plan.shards), num_shards)
    with progress_bar("Converting rows", sum(plan.rows[number] for number in mine)) as advance:
        if backend is Backend.ray:
            from voxtwist.data.ray_backend import convert_parts_with_ray

            convert_parts_with_ray(plan, settings, mine, workers, advance)
        else:
            convert_parts(plan, settings, mine, workers, advance)
    if num_shards > 1:
        typer.echo(f"{len(mine)} of {len(plan.shards)} shards are converted: see `voxtwist merge`")
        return
    _show_counts(assemble(plan, output), output, metrics, plots)


def merge(
    output: Annotated[Path, typer.Option(help="The --output that the jobs were given.")],
    metrics: Annotated[Path | None, typer.Option(help="JSON file for the statistics.")] = None,
    plots: Annotated[Path | None, typer.Option(help="Folder for the histograms.")] = None,
) -> None:
    """Join what `convert --num-shards` has made, in order; refuse when something is missing."""
    from voxtwist.data.convert import merge as merge_parts

    _show_counts(merge_parts(output), output, metrics, plots)


def split(
    input: Annotated[Path, typer.Option(help="The .jsonl of `convert`.")],
    output_dir: Annotated[Path, typer.Option(help="Folder for train.jsonl and eval.jsonl.")],
    eval_ratio: Annotated[float, typer.Option(min=0, max=1)] = 0.15,
    seed: Annotated[int, typer.Option()] = 42,
    group_by: Annotated[
        list[GroupBy] | None,
        typer.Option(help="Keep equal ones on one side; may be given twice."),
    ] = None,
    report: Annotated[Path | None, typer.Option(help="JSON file for sizes and overlap.")] = None,
) -> None:
    """Hold samples out for evaluation."""
    from voxtwist.data.split import split as split_file

    names = [group.value for group in group_by or []]
    with progress_bar("Splitting samples", None) as advance:
        result = split_file(input, output_dir, eval_ratio, seed, names, advance)
    text = json.dumps(result, indent=2)
    if report:
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text(text + "\n")
    typer.echo(text)


def tokenize(
    input: Annotated[Path, typer.Option(help="Folder of recordings.")],
    metadata: Annotated[Path, typer.Option(help="JSONL: question, answer, audio.")],
    codec: Annotated[CodecName, typer.Option()],
    codec_path: Annotated[Path, typer.Option(help="Folder of the codec.")],
    output: Annotated[Path, typer.Option(help="The .parquet to write.")],
) -> None:
    """Encode your own recordings as a raw shard, to be converted like any other."""
    from voxtwist.data.tokenize_audio import read_lines, tokenize_folder

    total = sum(1 for _ in read_lines(metadata))
    with progress_bar("Encoding recordings", total) as advance:
        counts = tokenize_folder(input, metadata, _load_codec(codec, codec_path), output, advance)
    _show_table({"recordings": counts.rows_in, "written": counts.rows_out, **counts.rejected})


def _load_codec(name: CodecName, path: Path) -> "SpeechCodec":
    if name is CodecName.kmeans:
        from voxtwist.codec.kmeans import KMeansCodec

        return KMeansCodec.load(path)
    from voxtwist.codec.cosyvoice import CosyVoiceCodec

    return CosyVoiceCodec(path)


def _show_counts(counts: "Counts", output: Path, metrics: Path | None, plots: Path | None) -> None:
    from voxtwist.data.files import rejected_path
    from voxtwist.data.report import report_conversion

    report = report_conversion(counts, output, metrics, plots)
    rejected = {f"rejected: {reason}": count for reason, count in counts.rejected.items()}
    _show_table(
        {
            "rows read": counts.rows_in,
            **rejected,
            "samples written": counts.rows_out,
            "tokens": report["tokens_in_all"],
            "hours of speech": report["hours_of_speech"],
        }
    )
    typer.echo(f"{output}" + (f" (rejected rows: {rejected_path(output)})" if rejected else ""))


def _show_table(values: dict[str, Any]) -> None:
    table = Table(show_header=False, box=None)
    table.add_column()
    table.add_column(justify="right")
    for name, value in values.items():
        table.add_row(name, f"{value:,}")
    Console().print(table)
