"""Converting a plan's shards on a Ray cluster (``pip install 'voxtwist[ray]'``).

The workers write their parts into the plan's folder, which all machines must share; `assemble`
then makes the same bytes as on one machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from voxtwist.data.convert import Plan
from voxtwist.data.part import ConvertSettings
from voxtwist.errors import VoxtwistError


class ShardConverter:
    """One Ray actor: it holds the tokenizer and converts the shards it is given."""

    def __init__(self, plan: Plan, settings: ConvertSettings) -> None:
        self.plan = plan
        self.settings = settings

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        counts = self.plan.convert(row["number"], self.settings)
        return {"rows": counts.rows_in}


def convert_parts_with_ray(
    plan: Plan,
    settings: ConvertSettings,
    numbers: Sequence[int],
    workers: int,
    progress: Callable[[int], object] = lambda rows: None,
) -> None:
    """Converts some of a plan's shards with `workers` actors; finished ones are passed over.

    Raises:
        VoxtwistError: Ray is not installed, or a shard cannot be converted.
    """
    try:
        import ray
    except ModuleNotFoundError:
        raise VoxtwistError("Ray is not installed: pip install 'voxtwist[ray]'") from None
    converter: Any = ShardConverter  # Ray makes the actors of the class itself
    rows = [{"number": number} for number in numbers]
    shards = ray.data.from_items(rows, override_num_blocks=len(rows))
    finished = shards.map(
        converter,
        fn_constructor_args=(plan, settings),
        compute=ray.data.ActorPoolStrategy(size=workers),
    )
    try:
        for row in finished.iter_rows():
            progress(row["rows"])
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, VoxtwistError):
            raise error.cause from None
        raise
