"""Stage `codec` of the embedded corpus: a codec of phones fitted on the embedded voice."""

from pathlib import Path

from voxtwist import params
from voxtwist.files import write_json
from voxtwist.stages.corpus import codec_stage
from voxtwist.terminal import one_line_errors

with one_line_errors():
    metrics = codec_stage(params.load(), Path("data/codec/phones"), Path("samples/codec"))
    write_json(metrics, Path("metrics/codec.json"))
