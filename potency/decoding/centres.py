"""From heat maps of centres to objects: the peaks, and of boxes that overlap the one of the best score."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter
from scipy.spatial import cKDTree

Peaks = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]


def peaks(heat: NDArray[np.float32], least: float, apart: int = 1) -> Peaks:
    """Class, row, column and height of the pixels of (K, H, W) maps that are the highest within `apart` px each way.

    Only those at `least` or above count, the highest first; of equal ones within that distance the first. That is the
    max-pooling of CenterNet (Zhou 2019) without its plateaus, and without a limit to their number.

    >>> kind, row, column, height = peaks(np.array([[[0, 0.9, 0.9, 0, 0.5]]], np.float32), 0.3)
    >>> column.tolist(), [round(float(value), 1) for value in height]
    ([1, 4], [0.9, 0.5])
    """
    side = 2 * apart + 1
    top = (heat >= least) & (heat == maximum_filter(heat, (1, side, side), mode="nearest"))
    found = np.nonzero(top)
    order = np.argsort(-heat[found], kind="stable")
    kind, row, column = (axis[order] for axis in found)
    height = heat[kind, row, column]
    kept = np.ones(len(kind), bool)
    far = np.stack([kind * (2 * apart + heat.shape[1] + 2), row, column], axis=1)  # classes stand far apart
    for first, second in sorted(cKDTree(far).query_pairs(apart, p=np.inf)) if len(far) else ():
        if kept[first]:
            kept[second] = False
    return kind[kept], row[kept], column[kept], height[kept]


def boxes_apart(
    edges: NDArray[np.floating], kind: NDArray[np.intp], score: NDArray[np.floating], most: float
) -> NDArray[np.intp]:
    """Which boxes (n, 4: top, left, bottom, right) stay when of two of a class with IoU above `most` the better stays.

    Greedy non-maximum suppression, as torchvision's `batched_nms`; boxes are only compared with those whose middle is
    near, so thousands of cells cost no more than thousands of times one.

    >>> boxes_apart(np.array([[0, 0, 4, 4], [0, 0, 4, 5.0]]), np.zeros(2, int), np.array([0.5, 0.9]), 0.5).tolist()
    [1]
    """
    order = np.argsort(-score, kind="stable")
    edges, kind = edges[order].astype(np.float64), kind[order]
    high, wide = (edges[:, 2:] - edges[:, :2]).T
    area = high * wide
    kept = (high > 0) & (wide > 0)
    if not kept.any():
        return order[:0]
    middle = (edges[:, :2] + edges[:, 2:]) / 2
    tree, reach = cKDTree(middle), np.maximum(high, wide)
    for i in range(len(order)):
        if not kept[i]:
            continue
        # With half of both shared, the other's middle lies in this box grown to twice its size.
        near = np.array(tree.query_ball_point(middle[i], 1.5 * reach[i], p=np.inf), np.intp)
        near = near[(near > i) & kept[near] & (kind[near] == kind[i])]
        low, top = np.maximum(edges[near, :2], edges[i, :2]), np.minimum(edges[near, 2:], edges[i, 2:])
        shared = np.clip(top - low, 0, None).prod(axis=1)
        kept[near[shared / (area[near] + area[i] - shared) > most]] = False
    return np.asarray(order[kept], np.intp)
