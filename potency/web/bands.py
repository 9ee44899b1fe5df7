"""Pixels made coarser, and arrays that are written to the disk band by band."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.errors import PotencyError

Bands = Iterable[tuple[int, NDArray[Any]]]  # first row, and pixels (C, rows, X)


def write_bands(path: Path, dtype: np.dtype[Any], shape: tuple[int, int, int], bands: Bands) -> None:
    """Write an array band by band; a full disk is an error and no crash, as it would be of a memory map."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            head = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, head)
            begin = file.tell()
            for top, pixels in bands:
                for channel, plane in enumerate(pixels):
                    file.seek(begin + (channel * shape[1] + top) * shape[2] * dtype.itemsize)
                    file.write(np.ascontiguousarray(plane).data)
        part.replace(path)
    except OSError as error:
        raise PotencyError(f"the overview of the image cannot be kept: {error.strerror or error}", "the disk",
                           "delete images, jobs or models that nobody needs") from error  # fmt: skip
    finally:
        part.unlink(missing_ok=True)


def shrunk(pixels: NDArray[Any], step: float, shape: tuple[int, int], labels: bool) -> NDArray[Any]:
    """Pixels (C, h, w) made `step` times coarser, to (C, *shape): their averages, or of labels each so many-th.

    >>> shrunk(np.arange(16).reshape(1, 4, 4), 2, (2, 2), False).tolist()
    [[[2, 4], [10, 12]]]
    """
    high, wide = shape
    if labels or step != int(step):
        rows, columns = (np.minimum(((np.arange(n) + 0.5) * step).astype(int), side - 1)
                         for n, side in zip(shape, pixels.shape[1:], strict=True))  # fmt: skip
        return pixels[:, rows[:, None], columns]
    by = int(step)
    short = (high * by - pixels.shape[1], wide * by - pixels.shape[2])
    if short[0] > 0 or short[1] > 0:
        pixels = np.pad(pixels, ((0, 0), (0, max(0, short[0])), (0, max(0, short[1]))), mode="edge")
    pixels = pixels[:, : high * by, : wide * by]
    kind = np.float64 if pixels.dtype.itemsize > 4 else np.float32
    total: NDArray[np.floating[Any]] = pixels[:, 0::by].astype(kind)
    for k in range(1, by):
        np.add(total, pixels[:, k::by], out=total)
    mean: NDArray[np.floating[Any]] = total[:, :, 0::by].copy()
    for k in range(1, by):
        np.add(mean, total[:, :, k::by], out=mean)
    return (mean / (by * by)).astype(pixels.dtype)
