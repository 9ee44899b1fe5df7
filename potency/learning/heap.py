"""Memory that a training gives back and asks for again at every step, kept by the process in between."""

from __future__ import annotations

import ctypes
import sys

MMAP_MAX, TRIM_THRESHOLD = -4, -1  # of mallopt(3)
MOST = 2**31 - 1  # bytes of free memory that are kept: the most that mallopt takes


def keep_freed_memory() -> None:
    """Have the C library of Linux keep what is freed, for this process.

    As it comes it returns large blocks to the system at once, and every map of every step is paid for anew, page by
    page. Elsewhere nothing is done.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(MMAP_MAX, 0)
        mallopt(TRIM_THRESHOLD, MOST)
