"""Many devices without a change of the pipeline: `VOXTWIST_LAUNCH` in the environment.

How many devices train is no part of what is trained: it is neither a param nor a dependency of the
stage, so that a model of eight GPUs is not trained again on a machine with one.
"""

import os
import shlex
import sys

VARIABLE = "VOXTWIST_LAUNCH"


def launch_as_asked() -> None:
    """Run this script again under `accelerate launch` with the options that the variable holds.

    `VOXTWIST_LAUNCH="--multi_gpu --num_processes 8" dvc repro`. Does nothing without it, and in the
    processes that `accelerate launch` starts.
    """
    options = os.environ.pop(VARIABLE, None)
    if options is None:
        return
    command = [sys.executable, "-m", "accelerate.commands.launch", *shlex.split(options), *sys.argv]
    os.execv(sys.executable, command)
