"""What flows together: each pixel is joined with the one it points to, and basins whose flows do not part are one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.data.compiled import compiled
from potency.decoding.census import Labels, Plane
from potency.decoding.flood import Mask

DIAGONAL = np.float32(0.41421356)  # tan 22.5 degrees: flatter vectors point straight, steeper ones to a corner
Ints = NDArray[np.int32]


def basins(flow_y: Plane, flow_x: Plane, mask: Mask) -> Labels:
    """Pixels of the mask by the sink that they flow to, (Y, X), numbered from 1; 0 outside the mask.

    Each pixel points to the neighbour its vector shows. Following the pointers for ever, each pixel ends in a sink: a
    cycle. The pixels of one sink are a connected part of the graph of pointers, and these parts are found by joining
    (union-find) in one pass, so nothing is followed step by step, however large the objects are.
    """
    return _basins(flow_y, flow_x, mask)


@compiled
def root_of(parent: NDArray[Any], p: int) -> int:
    """The first of those joined with p (union-find, Tarjan 1975), with the way to it halved."""
    while parent[p] != p:
        parent[p] = parent[parent[p]]
        p = parent[p]
    return p


@compiled
def _basins(flow_y: Plane, flow_x: Plane, mask: Mask) -> Labels:
    height, width = mask.shape
    parent = np.empty(height * width, np.int32)
    for p in range(height * width):
        parent[p] = p
    for y in range(height):
        for x in range(width):
            if not mask[y, x]:
                continue
            fy, fx = flow_y[y, x], flow_x[y, x]
            ay, ax = abs(fy), abs(fx)
            v = y + (int(np.sign(fy)) if ay > DIAGONAL * ax else 0)
            u = x + (int(np.sign(fx)) if ax > DIAGONAL * ay else 0)
            if 0 <= v < height and 0 <= u < width and mask[v, u]:
                one, other = root_of(parent, y * width + x), root_of(parent, v * width + u)
                if one < other:
                    parent[other] = one
                else:
                    parent[one] = other
    labels = np.zeros((height, width), np.int32)
    count = 0
    for y in range(height):
        for x in range(width):
            if mask[y, x]:  # a root is the first of its pixels that the pass meets
                root = root_of(parent, y * width + x)
                if root == y * width + x:
                    count += 1
                    labels[y, x] = count
                else:
                    labels[y, x] = labels[root // width, root % width]
    return labels


def unite(labels: Labels, flow_y: Plane, flow_x: Plane, parting: float, core: int) -> Labels:
    """Join neighbouring basins unless the flows part at their border; the table of new numbers has gaps.

    Parting is how far two touching pixels flow away from each other, half the difference of their directions along the
    line between them: 1 where they flow straight apart, 0 where they flow alike. Its mean over a border must exceed
    `parting`; one pixel that parts is added to each, for two objects may touch in a pixel or two anyhow. Borders are
    taken in the order of their parting. A basin of fewer than `core` pixels joins the neighbour it parts from least.
    """
    count = int(labels.max()) if labels.size else 0
    keys, total, number = _borders(labels, flow_y, flow_x)
    mean = (total + 1) / (number + 1)
    order = np.argsort(mean, kind="stable")
    area = np.bincount(labels.ravel(), minlength=count + 1)
    return _unite(labels, keys[order], mean[order].astype(np.float32), area, parting, core)


@compiled
def _borders(labels: Labels, flow_y: Plane, flow_x: Plane) -> tuple[NDArray[np.int64], Plane, Ints]:
    """Pairs of labels that touch, as one number each, the sum of their parting and the number of touching pixels."""
    height, width = labels.shape
    size = 1024
    keys, total, number = np.full(size, -1, np.int64), np.zeros(size, np.float32), np.zeros(size, np.int32)
    used = 0
    for y in range(height):
        for x in range(width):
            a = labels[y, x]
            if not a:
                continue
            for v, u in ((y, x + 1), (y + 1, x)):
                if v >= height or u >= width:
                    continue
                b = labels[v, u]
                if not b or a == b:
                    continue
                here = np.sqrt(flow_y[y, x] ** 2 + flow_x[y, x] ** 2) + np.float32(1e-6)
                there = np.sqrt(flow_y[v, u] ** 2 + flow_x[v, u] ** 2) + np.float32(1e-6)
                if v > y:
                    apart = flow_y[v, u] / there - flow_y[y, x] / here
                else:
                    apart = flow_x[v, u] / there - flow_x[y, x] / here
                key = (int(min(a, b)) << 32) | int(max(a, b))
                at = _place(keys, key)
                if keys[at] < 0:
                    keys[at] = key
                    used += 1
                total[at] += apart / 2
                number[at] += 1
                if 2 * used > size:
                    more_keys = np.full(4 * size, -1, np.int64)
                    more_total, more_number = np.zeros(4 * size, np.float32), np.zeros(4 * size, np.int32)
                    for i in range(size):
                        if keys[i] >= 0:
                            new = _place(more_keys, int(keys[i]))
                            more_keys[new], more_total[new], more_number[new] = keys[i], total[i], number[i]
                    keys, total, number, size = more_keys, more_total, more_number, 4 * size
    kept = np.flatnonzero(keys >= 0)
    kept = kept[np.argsort(keys[kept])]
    return keys[kept], total[kept], number[kept]


@compiled
def _place(keys: NDArray[np.int64], key: int) -> int:
    """Where a key stands in an open table of a power of two, or the free place where it belongs."""
    last = len(keys) - 1
    at = int((np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(20)) & last
    while keys[at] >= 0 and keys[at] != key:
        at = (at + 1) & last
    return at


@compiled
def _unite(
    labels: Labels, keys: NDArray[np.int64], mean: Plane, area: NDArray[np.int64], parting: float, core: int
) -> Labels:
    parent = np.arange(len(area)).astype(np.int32)
    for i in range(len(keys)):
        one, other = root_of(parent, keys[i] >> 32), root_of(parent, keys[i] & 0xFFFFFFFF)
        if one != other and (mean[i] < parting or min(area[one], area[other]) < core):
            low, high = min(one, other), max(one, other)
            parent[high] = low
            area[low] += area[high]
    out = np.empty_like(labels)
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            out[y, x] = root_of(parent, labels[y, x])
    return out
