"""Stage `base`: the text model that everything starts from, as a plain folder."""

from pathlib import Path

from voxtwist import params
from voxtwist.model.base import fetch_base
from voxtwist.terminal import one_line_errors

with one_line_errors():
    base = params.load().base
    fetch_base(base.model, base.revision, Path("checkpoints/base"))
