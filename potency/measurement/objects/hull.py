"""The convex hull of objects, exact in whole numbers: its area, its perimeter, calipers and the smallest circle."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.data.compiled import compiled

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@compiled
def hulls(start: Ints, row: Ints, left: Ints, right: Ints, box: Ints, weights: Floats) -> tuple[Ints, Floats, Floats]:
    """Of each object's hull the area (N,), lengths (N, 3) and the smallest circle round the pixels (N, 3).

    As in scikit-image's `convex_hull_image`, the hull runs through the middles of the pixels' sides, and a pixel whose
    centre lies in it or on it belongs to the filled hull. Lengths are the largest and the smallest distance of two
    parallels that hold the filled hull between them (through the middles of its pixels' sides; the largest is
    scikit-image's `feret_diameter_max`), and the perimeter of the filled hull, by the same steps as any perimeter. The
    circle (row, column, radius) is the smallest that holds all pixel centres.
    """
    count = len(start) - 1
    areas, lengths, circles = np.zeros(count, np.int64), np.zeros((count, 3)), np.zeros((count, 3))
    for i in range(count):
        height = box[i, 2] - box[i, 0]
        low, high = np.full(height, np.int64(2**62)), np.full(height, np.int64(-1))
        for run in range(start[i], start[i + 1]):
            y = row[run] - box[i, 0]
            low[y] = min(low[y], left[run] - box[i, 1])
            high[y] = max(high[y], right[run] - 1 - box[i, 1])
        corners = _corners(low, high, False)
        circles[i] = _circle(corners)
        circles[i, 0] += box[i, 0]
        circles[i, 1] += box[i, 1]
        low, high = _filled(_corners(low, high, True), height)
        areas[i] = (high - low + 1).sum()
        lengths[i, 0], lengths[i, 1] = _calipers(_corners(low, high, True))
        lengths[i, 2] = _perimeter(low, high, weights)
    return areas, lengths, circles


@compiled
def _corners(low: Ints, high: Ints, sides: bool) -> Ints:
    """Corners (K, 2) of the hull of rows from `low` to `high`, around it, in half pixels; rows without pixels are -1.

    With `sides` it runs through the middles of the pixels' sides, else through their centres. Either way two points a
    line are enough: the leftmost and the rightmost.
    """
    rows = len(low)
    points = np.empty((4 * rows + 2, 2), np.int64)
    kept = 0
    for side in range(2):  # down the left side, then up the right one
        first = kept
        for step in range(2 * rows + 1):
            line = step - 1 if side == 0 else 2 * rows - 1 - step  # in half pixels; odd ones lie between two rows
            above, below = (line - 1) // 2, (line + 1) // 2
            if line % 2 == 0:
                above = below = line // 2
            reach = np.int64(2**62)
            for y in (above, below):
                if 0 <= y < rows and high[y] >= 0:
                    reach = min(reach, 2 * (low[y] if side == 0 else -high[y]))
            if reach == 2**62 or (line % 2 != 0 and not sides):
                continue
            if line % 2 == 0 and sides:
                reach -= 1
            column = reach if side == 0 else -reach
            while kept - first >= 2 and _turn(points[kept - 2], points[kept - 1], line, column) <= 0:
                kept -= 1
            points[kept, 0], points[kept, 1] = line, column
            kept += 1
    return points[:kept]


@compiled
def _turn(a: Ints, b: Ints, y: Any, x: Any) -> int:
    """Above 0 where the way from a over b to (y, x) bends to the inside."""
    return int((b[0] - a[0]) * (x - b[1]) - (b[1] - a[1]) * (y - b[0]))


@compiled
def _filled(corners: Ints, height: int) -> tuple[Ints, Ints]:
    """First and last column of each row whose pixel centres lie in the hull or on it."""
    low, high = np.full(height, np.int64(2**62)), np.full(height, np.int64(-(2**62)))
    for k in range(len(corners)):
        a, b = corners[k], corners[(k + 1) % len(corners)]
        fall = b[0] - a[0]
        if fall == 0:
            continue
        first, last = (a[0], b[0]) if fall > 0 else (b[0], a[0])
        for y in range((first + 1) // 2, last // 2 + 1):
            over = a[1] * fall + (b[1] - a[1]) * (2 * y - a[0])  # the column there, in half pixels, times the fall
            if fall > 0:
                low[y] = min(low[y], -(-over // (2 * fall)))
            else:
                high[y] = max(high[y], over // (2 * fall))
    return low, high


@compiled
def _calipers(corners: Ints) -> tuple[float, float]:
    """Largest distance of two corners, and the smallest distance of parallels that hold all between them, in pixels."""
    longest, smallest = 0, np.inf
    for k in range(len(corners)):
        a, b = corners[k], corners[(k + 1) % len(corners)]
        dy, dx = b[0] - a[0], b[1] - a[1]
        widest = 0  # twice the largest triangle on this side
        for j in range(len(corners)):
            y, x = corners[j, 0] - a[0], corners[j, 1] - a[1]
            widest = max(widest, dy * x - dx * y)
            longest = max(longest, y * y + x * x)
        if dy or dx:  # not so where the left side meets the right one in a point
            smallest = min(smallest, widest / math.sqrt(dy * dy + dx * dx))
    return math.sqrt(longest) / 2, smallest / 2


@compiled
def _perimeter(low: Ints, high: Ints, weights: Floats) -> float:
    """Length of the edge of a shape with one run a row, by the steps of `outline.perimeters`."""
    rows, first = len(low), low.min() - 1
    edge = np.zeros((rows + 2, high.max() - first + 2), np.uint8)
    within = np.empty((rows, 2), np.int64)  # of each row, the first and last pixel that is no edge
    for y in range(rows):
        within[y, 0], within[y, 1] = high[y] + 1, high[y]
        if 0 < y < rows - 1:
            after, until = max(low[y] + 1, low[y - 1], low[y + 1]), min(high[y] - 1, high[y - 1], high[y + 1])
            if after <= until:
                within[y, 0], within[y, 1] = after, until
        edge[y + 1, low[y] - first : within[y, 0] - first] = 1
        edge[y + 1, within[y, 1] + 1 - first : high[y] + 1 - first] = 1
    length = 0.0
    for y in range(rows):
        for part in range(2):
            begin, end = (low[y], within[y, 0]) if part == 0 else (within[y, 1] + 1, high[y] + 1)
            for x in range(begin - first, end - first):
                beside = edge[y, x] + edge[y + 2, x] + edge[y + 1, x - 1] + edge[y + 1, x + 1]
                across = edge[y, x - 1] + edge[y, x + 1] + edge[y + 2, x - 1] + edge[y + 2, x + 1]
                length += weights[1 + 2 * beside + 10 * across]
    return length


@compiled
def _circle(corners: Ints) -> tuple[float, float, float]:
    """The smallest circle that holds all corners (Welzl 1991, point by point): row, column, radius in pixels."""
    y = x = square = 0.0
    for i in range(len(corners)):
        if not _outside(corners[i], y, x, square) and i:
            continue
        y, x, square = float(corners[i, 0]), float(corners[i, 1]), 0.0
        for j in range(i):
            if not _outside(corners[j], y, x, square):
                continue
            y, x = (corners[i, 0] + corners[j, 0]) / 2, (corners[i, 1] + corners[j, 1]) / 2
            square = (corners[j, 0] - y) ** 2 + (corners[j, 1] - x) ** 2
            for k in range(j):
                if _outside(corners[k], y, x, square):
                    y, x = _around(corners[i], corners[j], corners[k])
                    square = (corners[k, 0] - y) ** 2 + (corners[k, 1] - x) ** 2
    return y / 2, x / 2, math.sqrt(square) / 2


@compiled
def _outside(corner: Ints, y: float, x: float, square: float) -> bool:
    return bool((corner[0] - y) ** 2 + (corner[1] - x) ** 2 > square * (1 + 1e-12))


@compiled
def _around(a: Ints, b: Ints, c: Ints) -> tuple[float, float]:
    """The centre of the circle through three points that lie on no line."""
    by, bx, cy, cx = b[0] - a[0], b[1] - a[1], c[0] - a[0], c[1] - a[1]
    twice = 2 * (by * cx - bx * cy)
    bb, cc = by * by + bx * bx, cy * cy + cx * cx
    return a[0] + (cx * bb - bx * cc) / twice, a[1] + (by * cc - cy * bb) / twice
