"""Freed memory stays with the process, so that the next training step finds it again."""

import ctypes

# Names and numbers of <malloc.h>.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_LARGEST = 2**31 - 1  # bytes; the options are C integers
_AT_ONCE = 64 * 2**20  # bytes


def keep_freed_memory() -> None:
    """Tell glibc's allocator to give nothing back to the kernel; other allocators are left alone.

    A step on a CPU allocates and frees the same gigabytes as the one before. glibc returns large
    blocks at once, and the kernel clears every page again when it hands them out: 130,000 page
    faults a step of the embedded default, of which most go.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, _LARGEST)
    mallopt(_M_TOP_PAD, _AT_ONCE)
