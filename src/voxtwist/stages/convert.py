"""Stage `convert`: raw parquet becomes SFT samples, with statistics."""

from pathlib import Path

from voxtwist.data.convert import convert
from voxtwist.data.part import ConvertSettings
from voxtwist.data.report import report_conversion
from voxtwist.params import Params
from voxtwist.terminal import progress_bar
from voxtwist.vocabulary import ChatFormat, load_extended_tokenizer


def convert_stage(
    params: Params, base: str, output: Path, work: Path, report: Path, plots: Path
) -> None:
    """Convert `params.data.raw` into `output`.

    Args:
        base: checkpoint of the base model, whose tokenizer is used.
        work: folder outside the pipeline's outputs, from which an interrupted conversion resumes.
        report, plots: JSON file and folder for the statistics.
    """
    data, codec = params.data, params.codec
    tokenizer = load_extended_tokenizer(base, codec.n_codes, data.format)
    chat = ChatFormat.from_tokenizer(tokenizer)
    settings = ConvertSettings(chat, codec.frame_rate_hz, data.max_length, codec=codec.name)
    with progress_bar("Converting rows", None) as advance:
        counts = convert(data.raw, output, settings, data.workers, work=work, progress=advance)
    report_conversion(counts, output, report, plots)
