"""Stage `base`: the text model that everything starts from, as a plain folder."""

from pathlib import Path

from voxtwist import params
from voxtwist.model.base import fetch_base
from voxtwist.stages.script import stage_script

with stage_script():
    base = params.load().base
    fetch_base(base.model, base.revision, Path("checkpoints/base"))
