"""Stage `shards` of the embedded corpus: questions and spoken answers as raw parquet."""

from pathlib import Path

from voxtwist import params
from voxtwist.codec.phones import PhoneCodec
from voxtwist.corpus.shards import build_shards
from voxtwist.stages.script import stage_script

with stage_script():
    settings = params.load()
    codec = PhoneCodec.load(Path("data/codec/phones"))
    build_shards(settings.corpus, codec, settings.seed, Path("data/raw/embedded"))
