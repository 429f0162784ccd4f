"""Panel Data: `voxtwist convert`, `merge`, `split` and `tokenize`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer
from rich.console import Console
from rich.table import Table

from voxtwist import params
from voxtwist.cli.options import FrameRate, NumberOfCodes, resolve_origin
from voxtwist.errors import VoxtwistError
from voxtwist.files import write_json
from voxtwist.terminal import progress_bar

if TYPE_CHECKING:
    from voxtwist.data.part import Counts


PANEL = "Data"


def register(app: typer.Typer) -> None:
    for command in (convert, merge, split, tokenize):
        app.command(rich_help_panel=PANEL)(command)


def convert(
    input: Annotated[str, typer.Option(help="Folder, glob pattern or file of raw parquet")],
    output: Annotated[Path, typer.Option(help="The .jsonl to write")],
    tokenizer: Annotated[str, typer.Option(help="Folder or hub name of the base model")],
    format: Annotated[params.Format, typer.Option(help="v1.1 marks text and speech")] = "v1.1",
    codes: NumberOfCodes = None,
    frame_rate: FrameRate = None,
    num_samples: Annotated[int | None, typer.Option(min=1, help="Only the first rows")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Shards at a time")] = 2,
    max_length: Annotated[int | None, typer.Option(min=1, help="Longest sample, in tokens")] = None,
    too_long: Annotated[
        Literal["reject", "keep"],
        typer.Option(help="What to do with samples over --max-length; none is cut"),
    ] = "reject",
    shard_index: Annotated[int, typer.Option(help="Number of this job, from 0")] = 0,
    num_shards: Annotated[
        int, typer.Option(min=1, help="Jobs that share the work; then run `voxtwist merge`")
    ] = 1,
    backend: Annotated[
        Literal["threads", "ray"], typer.Option(help="Where shards are converted")
    ] = "threads",
    work: Annotated[
        Path | None,
        typer.Option(
            help="Folder for finished shards; default: OUTPUT.parts. `dvc repro` looks in "
            ".scratch/convert"
        ),
    ] = None,
    metrics: Annotated[Path | None, typer.Option(help="JSON file for the statistics")] = None,
    plots: Annotated[Path | None, typer.Option(help="Folder for the histograms")] = None,
) -> None:
    """Convert raw parquet to SFT samples. Resumes an interrupted run."""
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
    chat = ChatFormat.from_tokenizer(load_extended_tokenizer(tokenizer, n_codes, format))
    settings = ConvertSettings(chat, rate, max_length, too_long)
    plan = plan_conversion(input, settings, work or work_folder(output), num_samples)
    mine = range(shard_index, len(plan.shards), num_shards)
    with progress_bar("Converting rows", sum(plan.rows[number] for number in mine)) as advance:
        if backend == "ray":
            from voxtwist.data.ray_backend import convert_parts_with_ray

            convert_parts_with_ray(plan, settings, mine, workers, advance)
        else:
            convert_parts(plan, settings, mine, workers, advance)
    if num_shards > 1:
        typer.echo(f"{len(mine)} of {len(plan.shards)} shards are converted: see `voxtwist merge`")
        return
    _show_counts(assemble(plan, output), output, metrics, plots)


def merge(
    output: Annotated[Path, typer.Option(help="The --output of the jobs")],
    metrics: Annotated[Path | None, typer.Option(help="JSON file for the statistics")] = None,
    plots: Annotated[Path | None, typer.Option(help="Folder for the histograms")] = None,
) -> None:
    """Join the parts of `convert --num-shards`, in order; refuse if one is missing."""
    from voxtwist.data.convert import merge as merge_parts

    _show_counts(merge_parts(output), output, metrics, plots)


def split(
    input: Annotated[Path, typer.Option(help="The .jsonl of `convert`")],
    output_dir: Annotated[Path, typer.Option(help="Folder for train.jsonl and eval.jsonl")],
    eval_ratio: Annotated[float, typer.Option(min=0, max=1, help="Share to hold out")] = 0.15,
    seed: Annotated[int, typer.Option(help="Seed of the split")] = 42,
    group_by: Annotated[
        list[str] | None,
        typer.Option(help="question or answer: keep equal ones on one side; may be given twice"),
    ] = None,
    report: Annotated[Path | None, typer.Option(help="JSON file for sizes and overlap")] = None,
) -> None:
    """Split samples into training and evaluation sets."""
    from voxtwist.data.split import split as split_file

    columns = get_args(params.Column)
    for name in group_by or []:
        if name not in columns:
            raise VoxtwistError(f"--group-by is {name}: it must be {' or '.join(columns)}")
    with progress_bar("Splitting samples", None) as advance:
        result = split_file(input, output_dir, eval_ratio, seed, group_by or [], advance)
    if report:
        write_json(result, report)
    typer.echo(json.dumps(result, indent=2))


def tokenize(
    input: Annotated[Path, typer.Option(help="Folder of recordings")],
    metadata: Annotated[Path, typer.Option(help="JSONL with question, answer and audio")],
    codec: Annotated[params.CodecName, typer.Option(help="Kind of codec")],
    codec_path: Annotated[Path, typer.Option(help="Folder of the codec")],
    output: Annotated[Path, typer.Option(help="The .parquet to write")],
) -> None:
    """Encode your own recordings as a raw shard, ready for `convert`."""
    from voxtwist.codec.loading import open_codec
    from voxtwist.data.tokenize_audio import read_lines, tokenize_folder

    total = sum(1 for _ in read_lines(metadata))
    with progress_bar("Encoding recordings", total) as advance:
        counts = tokenize_folder(input, metadata, open_codec(codec, codec_path), output, advance)
    _show_table({"recordings": counts.rows_in, "written": counts.rows_out, **counts.rejected})


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
