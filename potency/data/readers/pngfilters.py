"""The five filters of a PNG's rows, undone as machine code."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.data.compiled import compiled

NONE, SUB, UP, AVERAGE, PAETH = range(5)


@compiled
def unfiltered(rows: NDArray[Any], step: int, pixels: NDArray[Any]) -> bool:
    """Fill `pixels` (H, W * step) from `rows` (H, 1 + W * step), uint8, whose first byte names the filter of the row.

    `step` bytes make a pixel (W3C PNG, chapter 9). False where a row has a filter that there is not.
    """
    height, wide = pixels.shape
    for y in range(height):
        kind, row, line = rows[y, 0], rows[y, 1:], pixels[y]
        if kind > PAETH:
            return False
        if kind == NONE or (kind == UP and y == 0):
            line[:] = row
        elif kind == UP:
            above = pixels[y - 1]
            for x in range(wide):
                line[x] = row[x] + above[x]
        elif kind == SUB or (kind == PAETH and y == 0):  # without a row above, Paeth is the left one
            line[:step] = row[:step]
            for x in range(step, wide):
                line[x] = row[x] + line[x - step]
        elif kind == AVERAGE:
            for x in range(wide):
                left = np.int32(line[x - step]) if x >= step else 0
                up = np.int32(pixels[y - 1, x]) if y else 0
                line[x] = row[x] + ((left + up) >> 1)
        else:
            above = pixels[y - 1]
            for x in range(step):
                line[x] = row[x] + above[x]
            for x in range(step, wide):
                a, b, c = np.int32(line[x - step]), np.int32(above[x]), np.int32(above[x - step])
                far_a, far_b, far_c = abs(b - c), abs(a - c), abs(a + b - 2 * c)
                near = a if far_a <= far_b and far_a <= far_c else (b if far_b <= far_c else c)
                line[x] = row[x] + near
    return True
