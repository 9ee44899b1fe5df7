"""Where objects go when their image is moved: found through a picture of its own places that is moved with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Generator, Tensor

from potency.data.tiles import extend
from potency.learning.augment import augment_both

Places = NDArray[np.float64]  # (n, 5): top, left, bottom, right in pixel edges, class
NEAR = 2.0  # px of the source within which a pixel of the moved image may be the one nearest to an object
LEAST = 0.2  # of an object that must be in a crop; of less nobody can say what it is
SINGULAR = 0.02  # px2 of the source in a pixel: less is the edge of the image, repeated


def in_window(objects: Places, window: tuple[int, int, int, int]) -> Places:
    """The objects of an image in a window of it (top, left, height, width), in pixels of the window, cut at its edges.

    What is cut down to less than a fifth becomes a region that is not judged (class -1); a point is in or out.

    >>> in_window(np.array([[0, 0, 10, 10, 2.0], [4, 4, 4, 4, 0]]), (4, 4, 8, 8)).tolist()
    [[0.0, 0.0, 6.0, 6.0, 2.0], [0.0, 0.0, 0.0, 0.0, 0.0]]
    """
    top, left, high, wide = window
    moved = objects - np.array([top, left, top, left, 0])
    return _cut(moved, (high, wide))


def _cut(objects: Places, size: tuple[int, int]) -> Places:
    cut = objects.copy()
    cut[:, 0:4:2] = np.clip(objects[:, 0:4:2], 0, size[0])
    cut[:, 1:4:2] = np.clip(objects[:, 1:4:2], 0, size[1])
    sides, left = objects[:, 2:4] - objects[:, :2], cut[:, 2:4] - cut[:, :2]
    point = (sides == 0).all(axis=1)
    inside = (objects[:, :2] >= 0).all(axis=1) & (objects[:, :2] < size).all(axis=1)
    kept = np.where(point, inside, (left > 0).all(axis=1))
    stump = ~point & (left.prod(axis=1) < LEAST * sides.prod(axis=1))
    cut[stump, 4] = -1
    return cut[kept]


def augment_listed(
    images: Tensor,
    listed: Sequence[tuple[Places, tuple[int, int]]],
    chosen: Mapping[str, float],
    rng: Generator,
) -> tuple[Tensor, list[Places]]:
    """`augment` of images (N, C, H, W), and the objects of each moved alike.

    `listed` gives the objects of each crop and the size (height, width) it had before it was extended by its mirror
    image: what is mirrored is there twice.
    """
    size = tuple(images.shape[2:])
    own = [extend(np.indices(inner, np.float32), size) for _, inner in listed]  # type: ignore[arg-type]
    images, places = augment_both(images, torch.from_numpy(np.stack(own)), chosen, rng)
    return images, [moved(objects, where) for (objects, _), where in zip(listed, places.numpy(), strict=True)]


def moved(objects: Places, places: NDArray[np.float32]) -> Places:
    """Objects (n, 5) of an image where they are in a moved one, whose pixels came from `places` (y and x, H, W).

    An object is where its middle came from: at the pixel that is nearer to it than all around, and from there by the
    slope of the places. Its box is that of the ellipse in it, exact for whatever is affine. Objects may be gone, or,
    where the image goes on as its mirror image, be there twice.

    >>> there = np.indices((8, 8), np.float32)[:, :, ::-1]  # a mirror
    >>> moved(np.array([[1, 2, 3, 4, 5.0]]), there).tolist()
    [[1.0, 4.0, 3.0, 6.0, 5.0]]
    """
    if not len(objects):
        return objects
    middle, half = (objects[:, :2] + objects[:, 2:4]) / 2 - 0.5, (objects[:, 2:4] - objects[:, :2]) / 2
    which, row, column = _nearest(middle, places)
    slope = _slope(places, row, column)  # (pairs, 2, 2): place by pixel
    whole = np.abs(np.linalg.det(slope)) > SINGULAR
    which, row, column, slope = which[whole], row[whole], column[whole], slope[whole]
    back = np.linalg.inv(slope)
    step = np.einsum("nij,nj->ni", back, middle[which] - places[:, row, column].T)
    at = np.stack([row, column], axis=1) + step
    kept = (np.abs(step) <= 1).all(axis=1) & (at >= -0.5).all(axis=1) & (at < np.array(places.shape[1:]) - 0.5).all(1)
    which, at, back = which[kept], at[kept], back[kept]
    reach = np.sqrt(np.einsum("nij,nj->ni", back**2, half[which] ** 2))
    found = np.concatenate([at + 0.5 - reach, at + 0.5 + reach, objects[which, 4:]], axis=1)
    return _cut(found, (places.shape[1], places.shape[2]))


def _nearest(
    middle: NDArray[np.float64], places: NDArray[np.float32]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Pairs of an object and a pixel that came from nearer to its middle than all pixels around it."""
    source = np.rint(places).astype(np.intp)
    size = np.maximum(source.reshape(2, -1).max(axis=1), np.ceil(middle).max(axis=0).astype(np.intp)) + 4
    near = np.zeros(size, bool)  # only pixels from beside an object are looked at
    reach = np.arange(-2, 3)
    y, x = (np.clip(np.rint(side).astype(np.intp)[:, None] + reach, 0, None) for side in middle.T)
    near[y[:, :, None], x[:, None, :]] = True
    row, column = np.nonzero(near[source[0], source[1]])
    if not len(row):
        return (np.empty(0, np.intp),) * 3
    pixels = cKDTree(places[:, row, column].T)
    pairs = cKDTree(middle).sparse_distance_matrix(pixels, NEAR, output_type="ndarray")
    which, row, column = pairs["i"], row[pairs["j"]], column[pairs["j"]]
    wide = np.pad(places.astype(np.float64), ((0, 0), (1, 1), (1, 1)), constant_values=1e9)

    def far(dy: int, dx: int) -> NDArray[np.float64]:
        apart = wide[:, row + 1 + dy, column + 1 + dx] - middle[which].T
        return np.asarray((apart**2).sum(axis=0))

    own, least = far(0, 0), np.ones(len(which), bool)
    for dy, dx in ((-1, -1), (-1, 0), (-1, 1), (0, -1)):  # of pixels equally near the first one counts
        least &= (own < far(dy, dx)) & (own <= far(-dy, -dx))
    return which[least], row[least], column[least]


def _slope(places: NDArray[np.float32], row: NDArray[np.intp], column: NDArray[np.intp]) -> NDArray[np.float64]:
    high, wide = places.shape[1:]
    up, down = np.maximum(row - 1, 0), np.minimum(row + 1, high - 1)
    left, right = np.maximum(column - 1, 0), np.minimum(column + 1, wide - 1)
    by_row = (places[:, down, column] - places[:, up, column]) / np.maximum(down - up, 1)
    by_column = (places[:, row, right] - places[:, row, left]) / np.maximum(right - left, 1)
    return np.asarray(np.stack([by_row.T, by_column.T], axis=2), np.float64)
