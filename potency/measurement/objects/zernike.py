"""Zernike moments of objects: how their form is made up of waves round a circle, whichever way they are turned."""

from __future__ import annotations

from functools import cache
from math import factorial

import numpy as np
from numpy.typing import NDArray

from potency.data.compiled import compiled
from potency.measurement.objects.runs import Objects

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
DEGREE = 9
ORDERS = tuple((n, m) for n in range(DEGREE + 1) for m in range(n % 2, n + 1, 2))


def zernike(objects: Objects, circles: Floats) -> dict[str, Floats]:
    """The magnitudes |sum of V_nm over the pixels| / (pi r^2) up to degree 9, of the unit disc laid on each circle.

    `circles` (N, 3) are row, column and radius of the smallest circle that holds the pixel centres, as CellProfiler
    has it; a disc has 1 in `zernike_0_0` and little else. An object of one pixel has no circle, hence no moments.
    Moments of x and y are summed run by run from power sums of the columns, and turned into those of Zernike at the
    end, which gives what summing over pixels gives (Zernike 1934; Khotanzad and Hong 1990).
    """
    powers = _powers(*objects.runs, circles, DEGREE)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.abs(powers @ _polynomials()) / (np.pi * circles[:, 2:] ** 2)
    return {f"zernike_{n}_{m}": values[:, k] for k, (n, m) in enumerate(ORDERS)}


@cache
def _polynomials() -> NDArray[np.complex128]:
    """V_nm = R_nm(r) e^(im theta) by powers of y (rows of the square) and x, (100, orders)."""
    side = DEGREE + 1
    columns = np.zeros((side, side, len(ORDERS)), np.complex128)
    for k, (n, m) in enumerate(ORDERS):
        for s in range((n - m) // 2 + 1):
            sign = (-1) ** s * factorial(n - s)
            weight = sign / (factorial(s) * factorial((n + m) // 2 - s) * factorial((n - m) // 2 - s))
            term = np.ones((1, 1), np.complex128)
            for factor in [_SQUARE] * ((n - m) // 2 - s) + [_TURN] * m:
                term = _times(term, factor)
            columns[: term.shape[0], : term.shape[1], k] += weight * term
    return columns.reshape(side * side, -1)


_SQUARE = np.array([[0, 0, 1], [0, 0, 0], [1, 0, 0]], np.complex128)  # y^2 + x^2, by powers of y and x
_TURN = np.array([[0, 1j], [1, 0]], np.complex128)  # y + ix


def _times(a: NDArray[np.complex128], b: NDArray[np.complex128]) -> NDArray[np.complex128]:
    found = np.zeros((a.shape[0] + b.shape[0] - 1, a.shape[1] + b.shape[1] - 1), np.complex128)
    for y, x in np.argwhere(b):
        found[y : y + a.shape[0], x : x + a.shape[1]] += b[y, x] * a
    return found


@compiled
def _powers(start: Ints, row: Ints, left: Ints, right: Ints, circles: Floats, degree: int) -> Floats:
    """Sums of y^q x^p over the pixels of each object, (N, (degree + 1)^2), in units of its circle."""
    count, side = len(start) - 1, degree + 1
    found = np.zeros((count, side * side))
    for i in range(count):
        centre_y, centre_x, radius = circles[i]
        if radius == 0:
            found[i] = np.nan
            continue
        first, behind = start[i], start[i + 1]
        low, high = left[first:behind].min(), right[first:behind].max()
        sums = np.zeros((high - low + 1, side))  # of x^p over all columns before
        for column in range(low, high):
            x, power = (column - centre_x) / radius, 1.0
            for p in range(side):
                sums[column - low + 1, p] = sums[column - low, p] + power
                power *= x
        for run in range(first, behind):
            y, power = (row[run] - centre_y) / radius, 1.0
            a, b = left[run] - low, right[run] - low
            for q in range(side):
                for p in range(side - q):
                    found[i, q * side + p] += power * (sums[b, p] - sums[a, p])
                power *= y
    return found
