"""Where objects end: their edge pixels, perimeter, holes, and the neighbours they touch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.data.compiled import compiled

Numbered = NDArray[np.int32]
Mask = NDArray[np.uint8]


def _weights() -> NDArray[np.float64]:
    """Length of a step by 1 + 2 x (edge pixels beside) + 10 x (edge pixels across), of Benkrid and Crookes."""
    weights = np.zeros(50)
    weights[[5, 7, 15, 17, 25, 27]] = 1
    weights[[21, 33]] = math.sqrt(2)
    weights[[13, 23]] = (1 + math.sqrt(2)) / 2
    return weights


WEIGHTS = _weights()


@compiled
def edges(numbered: Numbered) -> Mask:
    """1 where a pixel of an object has a pixel that is not of it, or the end of the image, on one of its four sides."""
    found = np.zeros(numbered.shape, np.uint8)
    for y in range(1, numbered.shape[0] - 1):
        for x in range(1, numbered.shape[1] - 1):
            n = numbered[y, x]
            if n and (
                numbered[y - 1, x] != n or numbered[y + 1, x] != n or numbered[y, x - 1] != n or numbered[y, x + 1] != n
            ):
                found[y, x] = 1
    return found


@compiled
def perimeters(numbered: Numbered, edge: Mask, count: int, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Length of the edge of each object (count,), as scikit-image's `perimeter` has it.

    Each edge pixel counts by how many edge pixels of its object lie beside and across.
    """
    found = np.zeros(count)
    for y in range(1, numbered.shape[0] - 1):
        for x in range(1, numbered.shape[1] - 1):
            if edge[y, x]:
                n, code = numbered[y, x], 1
                for dy in range(-1, 2):
                    for dx in range(-1, 2):
                        if edge[y + dy, x + dx] and numbered[y + dy, x + dx] == n and (dy or dx):
                            code += 10 if dy and dx else 2
                found[n - 1] += weights[code]
    return found


@compiled
def euler_numbers(numbered: Numbered, count: int) -> NDArray[np.int64]:
    """Pieces less holes of each object (count,), pixels that meet at a corner being together.

    Counted from the 2 x 2 windows of the image (Gray 1971): a quarter of (windows with one pixel of the object, less
    those with three, less twice those with two across).
    """
    found = np.zeros(count, np.int64)
    window = np.zeros(4, np.int32)
    for y in range(numbered.shape[0] - 1):
        for x in range(numbered.shape[1] - 1):
            window[0], window[1] = numbered[y, x], numbered[y, x + 1]
            window[2], window[3] = numbered[y + 1, x + 1], numbered[y + 1, x]
            if window[0] == window[1] and window[1] == window[2] and window[2] == window[3]:
                continue
            for k in range(4):
                n = window[k]
                before, same = False, 0
                for j in range(4):
                    same += window[j] == n
                    before = before or (j < k and window[j] == n)
                if not n or before:
                    continue
                if same == 1:
                    found[n - 1] += 1
                elif same == 3:
                    found[n - 1] -= 1
                elif same == 2 and window[(k + 2) % 4] == n:
                    found[n - 1] -= 2
    return found // 4


@compiled
def touching(numbered: Numbered, edge: Mask, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64], Any]:
    """Edge pixels of each object (count,), those that another object meets, and the pairs that meet (pairs, 2).

    Pixels meet on a side or at a corner. A pair is named as often as its pixels meet.
    """
    length, met = np.zeros(count, np.int64), np.zeros(count, np.int64)
    pairs = np.empty((64, 2), np.int64)
    at = 0
    for y in range(1, numbered.shape[0] - 1):
        for x in range(1, numbered.shape[1] - 1):
            if not edge[y, x]:
                continue
            n = numbered[y, x]
            length[n - 1] += 1
            meets = False
            for dy in range(-1, 2):
                for dx in range(-1, 2):
                    other = numbered[y + dy, x + dx]
                    if not other or other == n:
                        continue
                    meets = True
                    if n < other:
                        if at == len(pairs):
                            pairs = np.concatenate((pairs, np.empty_like(pairs)))
                        pairs[at, 0], pairs[at, 1] = n - 1, other - 1
                        at += 1
            met[n - 1] += meets
    return length, met, pairs[:at]
