"""Everything that is looked at before a long run: inputs, disk, memory, device, hours and cost."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from voxtwist.device import best_device, choose_precision
from voxtwist.errors import VoxtwistError
from voxtwist.params import Params
from voxtwist.preflight.checks import Check, check_inputs
from voxtwist.preflight.estimate import Machine, voice_assistant
from voxtwist.preflight.hours import (
    Stage,
    disk_gb,
    free_disk_gb,
    needed_memory_gb,
    sample_raw,
    stages,
)
from voxtwist.preflight.model_size import model_size
from voxtwist.preflight.probe import this_machine


@dataclass(frozen=True)
class Preflight:
    """Attributes: checks, and stages with their hours (empty where nothing was probed)."""

    checks: list[Check]
    stages: list[Stage]

    @property
    def ready(self) -> bool:
        return all(check.state != "missing" for check in self.checks)

    def as_dict(self, dollars: float | None) -> dict[str, Any]:
        rows = [stage.as_dict() for stage in self.stages]
        if dollars is not None:
            for row in rows:
                row["dollars"] = None if row["hours"] is None else row["hours"] * dollars
        return {
            "ready": self.ready,
            "checks": [check.as_dict() for check in self.checks],
            "stages": rows,
        }


def preflight(params: Params, root: Path, probe_seconds: float) -> Preflight:
    """Look for all that a run of `params` needs, then time this machine.

    Args:
        root: where the run will write.
        probe_seconds: of training and generating; 0: nothing is timed.
    """
    checks = list(check_inputs(params))
    try:
        size = model_size(params)
    except VoxtwistError as error:  # the check of the base model has said so, too
        return Preflight([*checks, Check("size", "missing", "unknown", str(error))], [])
    raw = sample_raw(params)
    machine = this_machine(params, size)
    checks.append(_device(params, machine))
    needed = needed_memory_gb(params, size)
    checks.append(
        _enough(
            "memory", needed, machine.memory_gb, "lower train.batch_tokens, set "
            "train.gradient_checkpointing: full, or freeze more",
        )
    )  # fmt: skip
    data = raw.data if raw else voice_assistant(params.codec.frame_rate_hz)
    on_disk = sum(disk_gb(params, size, data).values())
    checks.append(_enough("disk", on_disk, free_disk_gb(root), "make room, or move the project"))
    timed = list(stages(params, raw, probe_seconds, machine.devices)) if probe_seconds else []
    return Preflight(checks, timed)


def _device(params: Params, machine: Machine) -> Check:
    precision = choose_precision(params.train.precision, torch.device(best_device()))
    count = f"{machine.devices} x " if machine.devices > 1 else ""
    found = f"{count}{machine.name}, {precision}"
    if best_device() == "cpu" and params.base.model != "embedded":
        return Check("device", "warning", found, "no GPU: see the hours below")
    return Check("device", "ok", found)


def _enough(name: str, needed: float, present: float, mend: str) -> Check:
    found = f"{needed:,.1f} GB needed of {present:,.0f} GB"
    return Check(name, "missing", found, mend) if needed > present else Check(name, "ok", found)
