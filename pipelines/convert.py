"""Stage `convert`: raw parquet becomes SFT samples."""

import os
from pathlib import Path

from voxtwist import params
from voxtwist.cli.data import progress_bar
from voxtwist.cli.errors import one_line_errors
from voxtwist.data.convert import convert
from voxtwist.data.part import ConvertSettings
from voxtwist.data.report import report_conversion
from voxtwist.vocabulary import ChatFormat, load_extended_tokenizer

OUTPUT = Path("data/sft/all.jsonl")

with one_line_errors():
    settings = params.load()
    data, codec = settings.data, settings.codec
    tokenizer = load_extended_tokenizer("checkpoints/base", codec.n_codes, data.format)
    chat = ChatFormat.from_tokenizer(tokenizer)
    convert_settings = ConvertSettings(chat, codec.frame_rate_hz, data.max_length, codec=codec.name)
    work = Path(os.environ.get("DVC_ROOT", ".")) / ".scratch" / "convert"
    with progress_bar("Converting rows", None) as advance:
        counts = convert(
            data.raw, OUTPUT, convert_settings, data.workers, work=work, progress=advance
        )
    report_conversion(counts, OUTPUT, Path("metrics/convert.json"), Path("plots/convert"))
