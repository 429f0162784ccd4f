"""Many devices without a change of the pipeline: `VOXTWIST_LAUNCH` in the environment.

How many devices train is no part of what is trained: it is neither a param nor a dependency of the
stage, so that a model of eight GPUs is not trained again on a machine with one.
"""

import os
import shlex
import sys

from voxtwist.interrupt import EX_TEMPFAIL

VARIABLE = "VOXTWIST_LAUNCH"


def launch_as_asked() -> None:
    """Run this script under `accelerate launch` with the options that the variable holds.

    `VOXTWIST_LAUNCH="--multi_gpu --num_processes 8" dvc repro`. Does nothing without it, and in the
    processes that are started; else it exits as they did: 75 where they were stopped.
    """
    options = os.environ.pop(VARIABLE, None)
    if options is None:
        return
    from accelerate.commands.launch import launch_command, launch_command_parser
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    try:
        launch_command(launch_command_parser().parse_args([*shlex.split(options), *sys.argv]))
    except ChildFailedError as error:  # each process has said what is wrong
        codes = {failure.exitcode for failure in error.failures.values()}
        raise SystemExit(EX_TEMPFAIL if EX_TEMPFAIL in codes else 1) from None
    except SignalException:  # passed on to the processes, which have saved their state
        raise SystemExit(EX_TEMPFAIL) from None
    raise SystemExit(0)
