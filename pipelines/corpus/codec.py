"""Stage `codec` of the embedded corpus: a codec of phones fitted on the embedded voice."""

from pathlib import Path

from voxtwist import params
from voxtwist.files import write_json
from voxtwist.stages.corpus import codec_stage
from voxtwist.stages.script import stage_script

with stage_script():
    metrics = codec_stage(params.load(), Path("data/codec/phones"), Path("samples/codec"))
    write_json(metrics, Path("metrics/codec.json"))
