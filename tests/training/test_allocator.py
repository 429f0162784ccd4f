"""Training on a CPU finds the memory of the step before again."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import numpy as np
from voxtwist.training.allocator import keep_freed_memory
if "keep" in sys.argv:
    keep_freed_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(2**24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print([faults() for _ in range(4)][-1])
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="an option of glibc's malloc")
def test_memory_that_was_freed_is_not_asked_of_the_kernel_again():
    given_back, kept = (
        int(subprocess.check_output([sys.executable, "-c", FAULTS, how]))
        for how in ("return", "keep")
    )
    assert kept < given_back / 10
