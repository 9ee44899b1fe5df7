"""Compilation of loops over pixels, the same for all: kept on disk where that can be written, and without the GIL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def kernel(loop: F) -> F:
    """Compile a function of arrays and numbers at its first call; later processes take it from numba's cache."""
    try:
        return cast(F, numba.njit(cache=True, nogil=True, error_model="numpy")(loop))
    except RuntimeError:  # neither the package nor the user's cache folder can be written
        return cast(F, numba.njit(nogil=True, error_model="numpy")(loop))
