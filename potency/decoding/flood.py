"""Markers grow over a landscape from its heights down until they meet: a watershed in time linear in the pixels."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from potency.data.compiled import compiled
from potency.decoding.census import Labels, Plane

LEVELS = 128
Mask = NDArray[np.bool_]


def pieces(mask: Mask, connectivity: int = 8) -> Labels:
    """The connected pieces of a mask, numbered from 1."""
    return np.asarray(cv2.connectedComponents(mask.view(np.uint8), connectivity=connectivity)[1], np.int32)


def peaks(landscape: Plane, above: float, peak: float, core: float, connectivity: int = 8) -> Labels:
    """Pieces of a landscape higher than `above` that reach `peak` and have `core` pixels; numbers may have gaps."""
    labels = pieces(landscape > above, connectivity)
    _drop(labels, int(labels.max()), landscape, core, peak)
    return labels


def flood(landscape: Plane, markers: Labels, mask: Mask) -> Labels:
    """Label `mask` from `markers` (0 = none), the highest pixels of `landscape` (0 ... 1) first.

    Every pixel takes the marker of its highest neighbour. Where steps uphill lead to a marker that is all there is to
    do, and one pass does it; what ends on a side peak is flooded in order of height, pixels waiting in one queue a
    level (`LEVELS` of them). A piece of the mask without any marker is an object itself.
    """
    labels, rest = _climb(landscape, markers, mask)
    if rest and _flood(landscape, labels, mask) < rest:
        lonely = pieces(mask & (labels == 0))
        labels += (lonely + labels.max()) * (lonely > 0)
    return labels


@compiled
def _drop(labels: Labels, count: int, landscape: Plane, core: float, peak: float) -> None:
    height, width = labels.shape
    area, top = np.zeros(count + 1, np.int64), np.zeros(count + 1, np.float32)
    for y in range(height):
        for x in range(width):
            k = labels[y, x]
            area[k] += 1
            top[k] = max(top[k], landscape[y, x])
    for y in range(height):
        for x in range(width):
            k = labels[y, x]
            if k and (area[k] < core or top[k] < peak):
                labels[y, x] = 0


@compiled
def _around(height: int, width: int) -> NDArray[np.int64]:
    """Steps to the neighbours of a pixel in a flat image with a frame of one pixel, which spares loops their ends."""
    across = width + 2
    return np.array([-across, -1, 1, across, -across - 1, -across + 1, across - 1, across + 1])


@compiled
def _climb(landscape: Plane, markers: Labels, mask: Mask) -> tuple[Labels, int]:
    """Labels of the pixels from which steps to the highest neighbour lead to a marker; how many others there are."""
    height, width = mask.shape
    around, across = _around(height, width), width + 2
    level = np.full((height + 2) * across, -np.inf, np.float32)
    for y in range(height):
        for x in range(width):
            if mask[y, x]:
                level[(y + 1) * across + x + 1] = landscape[y, x]
    state = np.zeros((height + 2) * across, np.int32)  # a label; 0 none, -1 - i: to be had from neighbour i
    for y in range(height):
        for x in range(width):
            p = (y + 1) * across + x + 1
            if not mask[y, x]:
                continue
            if markers[y, x]:
                state[p] = markers[y, x]
                continue
            highest, way = level[p], -1
            for i in range(8):
                other = level[p + around[i]]
                # Of equals only those above or to the left, so that nothing goes in circles.
                if other > highest or (way < 0 and other == highest and around[i] < 0):
                    highest, way = other, i
            state[p] = -1 - way if way >= 0 else 0
    labels, rest = np.zeros((height, width), np.int32), 0
    for y in range(height):
        for x in range(width):
            start = p = (y + 1) * across + x + 1
            while state[p] < 0:
                p += around[-1 - state[p]]
            label, p = state[p], start
            while state[p] < 0:
                step = around[-1 - state[p]]
                state[p] = label
                p += step
            labels[y, x] = label
            rest += mask[y, x] and label == 0
    return labels, rest


@compiled
def _flood(landscape: Plane, labels: Labels, mask: Mask) -> int:
    """Flood what has no label yet, in place; how many pixels that is."""
    height, width = mask.shape
    around, across = _around(height, width), width + 2
    levels = np.zeros((height + 2) * across, np.int16)
    state = np.zeros((height + 2) * across, np.int32)  # a label; else 0 outside, -1 not reached, -2 waiting
    following = np.empty((height + 2) * across, np.int32)
    first, last = np.full(LEVELS + 1, -1, np.int32), np.full(LEVELS + 1, -1, np.int32)
    for y in range(height):
        for x in range(width):
            if mask[y, x]:
                p = (y + 1) * across + x + 1
                levels[p] = min(max(landscape[y, x], np.float32(0)), np.float32(1)) * LEVELS
                state[p] = labels[y, x] if labels[y, x] else -1
    for y in range(height):
        for p in range((y + 1) * across + 1, (y + 1) * across + 1 + width):
            if state[p] == -1:
                for d in around:
                    if state[p + d] > 0:
                        state[p] = -2
                        _wait(p, levels[p], first, last, following)
                        break
    flooded = 0
    for level in range(LEVELS, -1, -1):
        p = first[level]
        while p >= 0:
            most, label = np.int16(-1), 0
            for d in around:
                q = p + d
                if state[q] > 0:
                    if levels[q] > most:
                        most, label = levels[q], state[q]
                elif state[q] == -1:
                    state[q] = -2
                    _wait(q, min(level, levels[q]), first, last, following)
            state[p] = label
            labels[p // across - 1, p % across - 1] = label
            flooded += 1
            p = following[p]
    return flooded


@compiled
def _wait(p: int, level: int, first: NDArray[np.int32], last: NDArray[np.int32], following: NDArray[np.int32]) -> None:
    following[p] = -1
    if first[level] < 0:
        first[level] = p
    else:
        following[last[level]] = p
    last[level] = p
