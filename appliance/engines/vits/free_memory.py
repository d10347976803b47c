"""Gives memory that is free inside this process back to the system.

Owns: the call to the C library. Refuses to know: what the memory was for.
"""

from __future__ import annotations

import ctypes
from functools import cache


def give_memory_back() -> None:
    """Return what the C library keeps for later; blocks for some milliseconds. Nothing happens without glibc.

    A window of the decoder takes 30 to 40 MB for half a second, which an idle worker would keep.

    Source: malloc_trim(3).
    """
    library = _library()
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)


@cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None)
