"""Whose codes raw shards hold: what the command line, the shards or params.yaml say, in this
order."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from voxtwist.codec.origin import Origin
from voxtwist.errors import VoxtwistError

PARAMS = Path("params.yaml")
_ELSE = "default: what the files say, else params.yaml here"
Codes = Annotated[int | None, typer.Option(min=2, help=f"Codes of the codec; {_ELSE}.")]
FrameRate = Annotated[
    int | None, typer.Option(min=1, help=f"Codes per second of the codec; {_ELSE}.")
]


def resolve_origin(
    shards: Sequence[Path], codes: int | None, frame_rate: int | None
) -> tuple[int, int]:
    """(number of codes, codes per second); a word on stderr says where params.yaml decided.

    Raises:
        VoxtwistError: nothing says them, the command line contradicts a shard, or a shard is no
            parquet file.
    """
    from voxtwist import params
    from voxtwist.data.raw import open_shard, read_origin

    said = Origin()
    for shard in shards:
        with open_shard(shard) as file:
            said = read_origin(file.schema_arrow, shard)
        if said != Origin():
            asked = Origin(frame_rate_hz=frame_rate, vocab_size=codes)
            said.refuse_unless(asked, str(shard), "the command line says")
            break
    codes, frame_rate = codes or said.vocab_size, frame_rate or said.frame_rate_hz
    if codes and frame_rate:
        return codes, frame_rate
    if not PARAMS.is_file():
        raise VoxtwistError(
            f"{shards[0]} does not say its codec's number of codes and rate: give --codes and "
            "--frame-rate (4096 and 50 for the published SLAM-Omni data)"
        )
    codec = params.load(PARAMS).codec
    codes, frame_rate = codes or codec.n_codes, frame_rate or codec.frame_rate_hz
    typer.echo(
        f"{codes} codes, {frame_rate} per second: {PARAMS} says what the files do not; "
        "--codes and --frame-rate overrule it",
        err=True,
    )
    return codes, frame_rate
