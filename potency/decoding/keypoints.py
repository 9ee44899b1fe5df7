"""Five key points of every object to its box: maps of the points and of the ways between them, and back to boxes.

After Yi et al. 2019 (arXiv 1907.09140), on one scale in place of four.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from potency.decoding.centres import boxes_apart, peaks

Edges = NDArray[np.float64]  # (n, 4): top, left, bottom, right of boxes in pixel edges
Maps = NDArray[np.float32]  # (55, Y, X)

POINTS = 5  # top left, top right, bottom left, bottom right, middle
# The graph joins every point with every other, and each way has its map: from point i to the point at place k of TO[i].
TO = tuple(tuple(j for j in range(POINTS) if j != i) for i in range(POINTS))
RADIUS = 5  # px of the disc around a point in which pixels speak of it; published
SMOOTH = 2.0  # px by which votes are blurred; published
CERTAIN = 0.1  # of a point's votes, 1 where all pixels of its disc agree; the published .004 on that scale
OVERLAP = 0.5  # IoU above which the box of lower score is the same object
CHANNELS = POINTS * (1 + 2 + 2 * (POINTS - 1))

_DISC = np.argwhere(np.hypot(*np.mgrid[-RADIUS : RADIUS + 1, -RADIUS : RADIUS + 1]) <= RADIUS) - RADIUS


def split(maps: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Maps (55, ...) by what they are: points (5, ...), ways to the point (5, 2, ...), to the others (5, 4, 2, ...)."""
    rest = maps.shape[1:]
    return (maps[:POINTS], maps[POINTS : 3 * POINTS].reshape(POINTS, 2, *rest),
            maps[3 * POINTS :].reshape(POINTS, POINTS - 1, 2, *rest))  # fmt: skip


def encode(edges: Edges, shape: tuple[int, int]) -> Maps:
    """The maps (55, Y, X) of a perfect network for boxes (n, 4).

    Of each of five points one where a pixel lies within RADIUS of it, else 0, then the way to it (y, x) in px, then the
    ways to the four other points of its object. Where discs of one kind overlap, a pixel speaks of the nearest.
    """
    points, maps = _places(edges), np.zeros((CHANNELS, *shape), np.float32)
    found, short, long = split(maps)
    for kind in range(POINTS):
        whose = _nearest(points[:, kind], shape)
        y, x = np.nonzero(whose >= 0)
        own = points[whose[y, x]] - np.stack([y, x], axis=1)[:, None]  # (pixels, 5, 2)
        found[kind, y, x] = 1
        short[kind][:, y, x] = own[:, kind].T
        for place, other in enumerate(TO[kind]):
            long[kind, place][:, y, x] = own[:, other].T
    return maps


def decode(maps: Maps) -> tuple[Edges, NDArray[np.float64]]:
    """Boxes (n, 4) and their scores, the surest first, of maps (55, Y, X): probabilities, and ways in px.

    Pixels vote for where the points are; the surest point looks for the four others of its object where its ways lead,
    among those no other object has; three points, or two that face each other, make a box. A score is the mean
    certainty of the five points, of a missing one 0.
    """
    found, short, long = split(maps)
    votes = np.stack([_votes(found[kind], short[kind]) for kind in range(POINTS)])
    kind, row, column, sure = peaks(votes, CERTAIN)
    groups = _grouped(kind, np.stack([row, column], axis=1), sure, long)
    return _boxes(groups, (maps.shape[1], maps.shape[2]))


def _places(edges: Edges) -> NDArray[np.float64]:
    """The five points (n, 5, 2) of boxes: their outermost pixels and the middle of these."""
    top, left, bottom, right = np.asarray(edges, np.float64).reshape(-1, 4).T - np.array([[0], [0], [1], [1]])
    y = np.stack([top, top, bottom, bottom, (top + bottom) / 2], axis=1)
    x = np.stack([left, right, left, right, (left + right) / 2], axis=1)
    return np.stack([y, x], axis=2)


def _nearest(points: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.int64]:
    """Which of the points (n, 2) is nearest to each pixel within RADIUS, -1 where none is."""
    whose = np.full(shape, -1, np.int64)
    pixels = (np.rint(points).astype(np.int64)[:, None] + _DISC).reshape(-1, 2)
    number = np.repeat(np.arange(len(points)), len(_DISC))
    far = ((pixels - points[number]) ** 2).sum(axis=1)
    inside = ((pixels >= 0) & (pixels < shape)).all(axis=1)
    order = np.argsort(-far[inside], kind="stable")  # of several assignments the last, so the nearest, stays
    y, x = pixels[inside][order].T
    whose[y, x] = number[inside][order]
    return whose


def _votes(share: NDArray[Any], way: NDArray[Any]) -> NDArray[np.float32]:
    """Where the pixels of a map say their point is: 1 where a whole disc agrees (Hough voting)."""
    height, width = share.shape
    y, x = np.nonzero(share > 0.01)
    at = np.stack([y, x]) + way[:, y, x].astype(np.float64)
    low, weight = np.floor(at).astype(np.int64), share[y, x].astype(np.float64)
    total = np.zeros(height * width)
    for step in np.ndindex(2, 2):
        place = low + np.array(step)[:, None]
        part = weight * np.abs(1 - np.array(step)[:, None] - (at - low)).prod(axis=0)
        kept = ((place >= 0) & (place < [[height], [width]])).all(axis=0)
        total += np.bincount(place[0, kept] * width + place[1, kept], part[kept], height * width)
    scale = 2 * np.pi * SMOOTH**2 / len(_DISC)  # what blurring takes from a single point is given back
    smooth = gaussian_filter(total.reshape(height, width), SMOOTH)
    return np.asarray(np.minimum(smooth * scale, 1), np.float32)


def _grouped(
    kind: NDArray[np.intp], places: NDArray[np.intp], sure: NDArray[np.float32], ways: NDArray[Any]
) -> NDArray[np.float64]:
    """Points of one object together (n, 5, 3): y, x, certainty, NaN where there is none; points come surest first."""
    members = [np.flatnonzero(kind == k) for k in range(POINTS)]
    trees = [cKDTree(places[own]) if len(own) else None for own in members]
    free = np.ones(len(kind), bool)
    found: list[NDArray[np.float64]] = []
    for i in range(len(kind)):
        if not free[i]:
            continue
        free[i] = False
        group = np.full((POINTS, 3), np.nan)
        group[kind[i]] = *places[i], sure[i]
        for place, other in enumerate(TO[kind[i]]):
            tree = trees[other]
            if tree is None:
                continue
            aim = places[i] + ways[kind[i], place, :, places[i, 0], places[i, 1]]
            near = members[other][tree.query_ball_point(aim, RADIUS + 1)]
            near = near[free[near]]
            if len(near):
                best = near[((places[near] - aim) ** 2).sum(axis=1).argmin()]
                free[best] = False
                group[other] = *places[best], sure[best]
        found.append(group)
    return np.array(found).reshape(-1, POINTS, 3)


def _boxes(groups: NDArray[np.float64], shape: tuple[int, int]) -> tuple[Edges, NDArray[np.float64]]:
    """Boxes of groups (n, 5, 3) with enough points; a side nobody saw lies as far from the middle as the one across."""
    there = np.isfinite(groups[:, :, 2])
    enough = (there.sum(axis=1) >= 3) | (there[:, 0] & there[:, 3]) | (there[:, 1] & there[:, 2])
    points, sure = groups[enough, :, :2], np.nan_to_num(groups[enough, :, 2]).sum(axis=1) / POINTS
    y, x, middle = points[:, :, 0], points[:, :, 1], points[:, 4]
    ends = np.fmin(y[:, 0], y[:, 1]), np.fmin(x[:, 0], x[:, 2]), np.fmax(y[:, 2], y[:, 3]), np.fmax(x[:, 1], x[:, 3])
    edges = np.stack(ends, axis=1)
    across = 2 * np.tile(middle, 2) - edges[:, [2, 3, 0, 1]]
    edges = np.where(np.isfinite(edges), edges, across) + np.array([0, 0, 1, 1])
    whole = np.isfinite(edges).all(axis=1) & (edges[:, 2:] > edges[:, :2]).all(axis=1)
    edges, sure = np.clip(edges[whole], 0, np.tile(shape, 2)), sure[whole]
    kept = boxes_apart(edges, np.zeros(len(edges), np.intp), sure, OVERLAP)
    return edges[kept], sure[kept]
