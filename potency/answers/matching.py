"""Which objects of two answers belong together: label images and boxes by overlap, points by nearness."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.errors import AnswerError

Mask = NDArray[np.bool_]
LARGEST = 2**32 - 1  # of an object's number
CHUNK = 512  # boxes held beside all that may touch them


@dataclass(frozen=True)
class Overlap:
    """How much the objects of two label images share: only pairs that share anything, never a whole table.

    `truths` and `said` are the numbers of the objects, sorted; `truth_area` and `said_area` their pixels, less those
    that are ignored, `void` how many of each predicted object are. Pair k joins `truths[row[k]]` and `said[column[k]]`,
    which share `shared[k]` pixels.
    """

    truths: NDArray[np.int64]
    said: NDArray[np.int64]
    truth_area: NDArray[np.int64]
    said_area: NDArray[np.int64]
    void: NDArray[np.int64]
    row: NDArray[np.intp]
    column: NDArray[np.intp]
    shared: NDArray[np.int64]

    @cached_property
    def iou(self) -> NDArray[np.float64]:
        """Intersection over union of every pair."""
        return self.shared / (self.truth_area[self.row] + self.said_area[self.column] - self.shared)

    @cached_property
    def excused(self) -> Mask:
        """Predicted objects that lie for more than half in ignored pixels: no mistakes where nothing is matched."""
        return self.void > self.said_area

    def pairs(self, threshold: float) -> Mask:
        """Which pairs are one object: of IoU above the threshold, each object once.

        Above one half no object can have two partners (Kirillov et al. 2019); below, as many pairs as possible are made
        and of these the pairing of largest total IoU is taken.
        """
        close = self.iou > threshold
        if threshold >= 0.5:
            return close
        chosen = np.flatnonzero(close)
        most = 2.0 * max(len(chosen), 1)
        close[chosen] = paired(self.row[chosen], self.column[chosen], 1 + self.iou[chosen] / most)
        return close

    def spurious(self, pairs: Mask) -> Mask:
        """Predicted objects without a partner, less those excused."""
        alone = ~self.excused
        alone[self.column[pairs]] = False
        return alone

    def only(self, truths: Mask, said: Mask) -> Overlap:
        """The overlap of some of the objects, given as masks."""
        kept = truths[self.row] & said[self.column]
        place = [np.cumsum(mask) - 1 for mask in (truths, said)]
        return Overlap(
            self.truths[truths], self.said[said], self.truth_area[truths], self.said_area[said], self.void[said],
            place[0][self.row[kept]], place[1][self.column[kept]], self.shared[kept],
        )  # fmt: skip


def overlap(truth: NDArray[Any], said: NDArray[Any], ignore: int | None = None) -> Overlap:
    """The shared pixels of two label images of one shape, (H, W) or (Z, H, W), any integers, 0 = background.

    `ignore` is a value of the truth whose pixels count for nothing. One pass: runs of equal pixels are found, and only
    these are sorted; the work beyond that pass grows with the runs, memory never with the product of the objects.

    Errors: other shapes, floating or negative numbers, numbers beyond 32 bits.

    >>> found = overlap(np.array([[1, 1, 0, 7]]), np.array([[3, 3, 3, 0]]))
    >>> found.iou.tolist(), found.truths.tolist(), found.said.tolist()
    ([0.6666666666666666], [1, 7], [3])
    """
    if truth.shape != said.shape:
        raise AnswerError(
            f"the prediction is {_size(said)} pixels, the truth {_size(truth)}", "two label images",
            "give both the same size; a prediction made at another scale must be scaled back, nearest neighbour",
        )  # fmt: skip
    (left, right), lengths = runs(whole(truth), whole(said))
    seen = (left | right) != 0
    keys = left[seen] << np.uint64(32) | right[seen]
    order = np.argsort(keys, kind="stable")
    keys, lengths = keys[order], lengths[seen][order]
    first = np.flatnonzero(np.diff(keys, prepend=np.uint64(0)))  # no key is 0
    counts = np.add.reduceat(lengths, first) if len(first) else np.empty(0, np.int64)
    left, right = (keys[first] >> np.uint64(32)).astype(np.int64), (keys[first] & np.uint64(LARGEST)).astype(np.int64)
    void = np.zeros(len(left), bool) if ignore is None else left == ignore
    truths, row = np.unique(left[(left > 0) & ~void], return_inverse=True)
    numbers, column = np.unique(right[right > 0], return_inverse=True)
    rows, columns = np.full(len(left), -1), np.full(len(left), -1)
    rows[(left > 0) & ~void], columns[right > 0] = row, column
    both = (rows >= 0) & (columns >= 0)
    truth_area = _sums(rows, counts, len(truths))
    said_area, lost = (_sums(np.where(side, columns, -1), counts, len(numbers)) for side in (~void, void))
    return Overlap(truths, numbers, truth_area, said_area, lost, rows[both], columns[both], counts[both])


def _sums(places: NDArray[np.intp], counts: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """The counts summed by place; those of a negative place are left out."""
    return np.bincount(places[places >= 0], counts[places >= 0], size).astype(np.int64)


def whole(image: NDArray[Any]) -> NDArray[Any]:
    """A label image as it is, in C order, checked to hold whole numbers; true and false are one object."""
    if image.dtype.kind == "b":
        return np.ascontiguousarray(image).view(np.uint8)
    if image.dtype.kind not in "iu":
        raise AnswerError(
            f"the label image holds {image.dtype} values", "a label image",
            "write whole numbers, 0 for background and one number an object",
        )  # fmt: skip
    if image.ndim not in (2, 3):
        raise AnswerError(
            f"a label image has the axes (Y, X) or (Z, Y, X), not {image.ndim} axes", f"shape {image.shape}",
            "give one plane, or one stack",
        )  # fmt: skip
    return np.ascontiguousarray(image)


def runs(*images: NDArray[Any]) -> tuple[list[NDArray[np.uint64]], NDArray[np.int64]]:
    """The runs of pixels in which no image changes: the value of each image, (runs,), and the pixels of each run."""
    flat = [image.ravel() for image in images]
    changed = flat[0][1:] != flat[0][:-1]
    for other in flat[1:]:
        changed |= other[1:] != other[:-1]
    starts = np.concatenate([np.zeros(min(flat[0].size, 1), np.intp), np.flatnonzero(changed) + 1])
    return [numbered(each[starts]) for each in flat], np.diff(starts, append=flat[0].size)


def numbered(values: NDArray[Any]) -> NDArray[np.uint64]:
    """Values of a label image as numbers of objects; negative ones and those beyond 32 bits are refused."""
    if values.size and (int(values.min()) < 0 or int(values.max()) > LARGEST):
        odd = int(values.min()) if int(values.min()) < 0 else int(values.max())
        raise AnswerError(
            f"the label image holds the number {odd}", "a label image",
            "number the objects from 1; of pixels to be ignored give the value in the column's part .ignore, above 0",
        )  # fmt: skip
    return values.astype(np.uint64)


def _size(image: NDArray[Any]) -> str:
    return " x ".join(map(str, image.shape))


def paired(row: NDArray[np.intp], column: NDArray[np.intp], gain: NDArray[np.float64]) -> Mask:
    """Which pairs make the pairing, each end once, of the largest sum of gains (all positive).

    Pairs whose ends have no other partner are taken as they are; the others are solved as a sparse assignment (Jonker
    and Volgenant 1987), in which every row may also stay alone.

    >>> paired(np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([.6, .5, .4])).tolist()
    [False, True, True]
    """
    if not len(row):
        return np.zeros(0, bool)
    chosen = (np.bincount(row)[row] == 1) & (np.bincount(column)[column] == 1)
    rest = np.flatnonzero(~chosen)
    if not len(rest):
        return np.asarray(chosen)
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    rows, left = np.unique(row[rest], return_inverse=True)
    columns, right = np.unique(column[rest], return_inverse=True)
    top = float(gain[rest].max()) * 2  # costs must not be 0; staying alone gains nothing and costs the most
    cost = np.concatenate([top - gain[rest], np.full(len(rows), top)])
    ends = (np.concatenate([left, np.arange(len(rows))]), np.concatenate([right, len(columns) + np.arange(len(rows))]))
    table = coo_array((cost, ends), shape=(len(rows), len(columns) + len(rows))).tocsr()
    _, partner = min_weight_full_bipartite_matching(table)
    chosen[rest] = partner[left] == right
    return np.asarray(chosen)


def near(
    truth: NDArray[np.float64], said: NDArray[np.float64], radius: float
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Pairs of points (n, axes) at most `radius` apart, each point once: as many as possible, the nearest of these.

    >>> near(np.array([[0., 0.], [9., 0.]]), np.array([[1., 0.], [40., 0.]]), 5.)
    (array([0]), array([0]), array([1.]))
    """
    if not len(truth) or not len(said):
        return np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0)
    from scipy.spatial import KDTree

    found = KDTree(truth).sparse_distance_matrix(KDTree(said), radius, output_type="ndarray")
    row, column, apart = found["i"].astype(np.intp), found["j"].astype(np.intp), found["v"]
    fewer = 2.0 * min(len(truth), len(said))
    kept = paired(row, column, 1 + (1 - apart / max(radius, 1e-12)) / fewer)
    order = np.argsort(row[kept], kind="stable")
    return row[kept][order], column[kept][order], apart[kept][order]


def touching(
    truth: NDArray[np.float64], said: NDArray[np.float64], crowd: Mask | None = None
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Pairs of boxes (n, 4: top, left, bottom, right) that overlap, and their IoU.

    Of a truth in `crowd` (a region of objects nobody told apart) it is the share of the predicted box that lies in it,
    as in COCO. Boxes of no size overlap nothing.

    >>> touching(np.array([[0., 0., 2., 2.]]), np.array([[0., 1., 2., 3.], [5., 5., 6., 6.]]))
    (array([0]), array([0]), array([0.33333333]))
    """
    crowd = np.zeros(len(truth), bool) if crowd is None else crowd
    areas = [np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1) for boxes in (truth, said)]
    order = np.argsort(said[:, 0], kind="stable")
    found = []
    for start in range(0, len(order), CHUNK):
        some = order[start : start + CHUNK]
        beside = np.flatnonzero((truth[:, 0] < said[some, 2].max()) & (truth[:, 2] > said[some, 0].min()))
        low = np.maximum(truth[beside, None, :2], said[None, some, :2])
        high = np.minimum(truth[beside, None, 2:], said[None, some, 2:])
        shared = np.prod(np.maximum(high - low, 0), axis=2)
        row, column = np.nonzero(shared > 0)
        row_of, column_of, shared = beside[row], some[column], shared[row, column]
        joint = areas[0][row_of] + areas[1][column_of] - shared
        found.append((row_of, column_of, shared / np.where(crowd[row_of], areas[1][column_of], joint)))
    if not found:
        return np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0)
    row, column, iou = (np.concatenate(each) for each in zip(*found, strict=True))
    order = np.lexsort((column, row))
    return row[order], column[order], iou[order]
