"""What is known of the objects in one image: labels, a table of objects, and what reading them changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from potency.errors import AnswerError

Labels = NDArray[np.uint32]
Shape = tuple[int, ...]

BOX = ["top", "left", "bottom", "right"]
COLUMNS = ["label", "class", "score", "y", "x", *BOX]


@dataclass(frozen=True, eq=False)
class Annotation:
    """Truth or result of segmentation or detection in one image.

    `shape` is (Y, X) or (Z, Y, X) in pixels, None where no one has said it. `labels` are uint32 of that shape, 0 is
    background, one id an object; None where there are only boxes or points. `objects` has a row an object:

    label    the id in `labels`
    class    "" where unknown
    score    NaN where there is none
    y, x     centre in pixel indices, as regionprops' centroid: 0 is the middle of the first pixel
    top, left, bottom, right   box in pixel edges, half-open: a first pixel alone is 0, 0, 1, 1; NaN for a bare point
    polygon  where there is one: (N, 2) floats y, x in pixel edges, as QuPath and ImageJ count: the first pixel is the
             square from 0 to 1. Further rings (holes, other parts) follow after a row of NaN; what an odd number of
             rings enclose is inside, and a ring is not closed by repeating its first point

    Further columns are measurements. `lost` counts, in words, what reading has changed or left out. `part` is the
    plane `z` and time `t` (from 0) of a stack that it is of, for formats that say so; empty of a flat image.
    """

    shape: Shape | None
    labels: Labels | None
    objects: pd.DataFrame
    lost: Mapping[str, int] = field(default_factory=dict)
    part: Mapping[str, int] = field(default_factory=dict)


def of_labels(labels: Labels, classes: Mapping[int, str] | None = None, scores: Mapping[int, float] | None = None,
              lost: Mapping[str, int] | None = None) -> Annotation:
    """Describe labels by their table.

    >>> of_labels(np.array([[0, 5], [5, 5]], np.uint32)).objects[["label", "y", "top", "right"]].values.tolist()
    [[5.0, 0.6666666666666666, 0.0, 2.0]]
    """
    objects = table_of(labels)
    ids = objects["label"]
    if classes:
        objects["class"] = ids.map(classes).fillna("").astype("str")
    if scores:
        objects["score"] = ids.map(scores).astype("float64")
    return Annotation(labels.shape, labels, objects, dict(lost or {}))


def runs(labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Give every horizontal run of one label: label, row (of all planes, one under the other), first column, end.

    >>> [part.tolist() for part in runs(np.array([[0, 7, 7], [7, 0, 3]]))]
    [[7, 7, 3], [0, 1, 1], [1, 0, 2], [3, 1, 3]]
    """
    width = labels.shape[-1]
    flat = np.ascontiguousarray(labels).reshape(-1)
    begins = np.ones(flat.size, bool)
    begins[1:] = flat[1:] != flat[:-1]
    begins[::width] = True
    starts = np.flatnonzero(begins)
    ends = np.append(starts[1:], flat.size)
    inside = flat[starts] != 0
    starts, ends = starts[inside], ends[inside]
    rows = starts // width
    return flat[starts], rows, starts - rows * width, ends - rows * width


def table_of(labels: Labels) -> pd.DataFrame:
    """Give the object table of labels, by rising id; in a volume the column z is added."""
    values, rows, starts, ends = runs(labels)
    ids, number = np.unique(values, return_inverse=True)
    length, count = ends - starts, len(ids)
    area = np.bincount(number, length, count)
    planes = rows // labels.shape[-2]
    rows = rows - planes * labels.shape[-2]
    extremes = []
    for ufunc, edge, first in ((np.minimum, rows, 2**62), (np.minimum, starts, 2**62), (np.maximum, rows + 1, 0),
                               (np.maximum, ends, 0)):
        most = np.full(count, first, np.int64)
        ufunc.at(most, number, edge)
        extremes.append(most)
    y = np.bincount(number, rows * length, count) / area
    x = np.bincount(number, (starts + ends - 1) * length / 2, count) / area
    objects = table(ids, y, x, extremes)
    if labels.ndim == 3:
        objects.insert(3, "z", np.bincount(number, planes * length, count) / area)
    return objects


def table(label: Any, y: Any, x: Any, box: Sequence[Any], classes: Any = "", score: Any = np.nan) -> pd.DataFrame:
    """Make an object table of its columns, with the types they always have."""
    count = len(label)
    columns: dict[str, Any] = {
        "label": np.asarray(label, np.int64),
        "class": pd.Series(np.broadcast_to(np.asarray(classes, dtype=object), count).copy(), dtype="str"),
        "score": np.broadcast_to(np.asarray(score, np.float64), count).copy(),
        "y": np.asarray(y, np.float64),
        "x": np.asarray(x, np.float64),
    }
    columns |= {name: np.asarray(edge, np.float64) for name, edge in zip(BOX, box, strict=True)}
    return pd.DataFrame(columns)


def of_boxes(objects: pd.DataFrame, shape: Shape | None, lost: Mapping[str, int] | None = None) -> Annotation:
    """Describe boxes and points: clipped to the image, what has no size or lies outside left out, all of it counted."""
    said = dict(lost or {})
    box = objects[BOX].to_numpy(np.float64)
    point = np.isnan(box).all(axis=1)
    finite = np.isfinite(objects[["y", "x"]].to_numpy()).all(axis=1) & (point | np.isfinite(box).all(axis=1))
    said["objects whose place is no number left out"] = int((~finite).sum())
    whole = point | ((box[:, 2] > box[:, 0]) & (box[:, 3] > box[:, 1]))
    said["boxes of no size left out"] = int((finite & ~whole).sum())
    kept = finite & whole
    if shape is not None:
        height, width = shape[-2:]
        cut = np.clip(box, 0, [height, width, height, width])
        centre = objects[["y", "x"]].to_numpy()
        out = np.where(point, ((centre < -0.5) | (centre >= [height - 0.5, width - 0.5])).any(axis=1),
                       (cut[:, 2] <= cut[:, 0]) | (cut[:, 3] <= cut[:, 1]))  # fmt: skip
        said["objects outside the image left out"] = int((kept & out).sum())
        kept &= ~out
        clipped = kept & ~point & (cut != box).any(axis=1)
        said["boxes cut at the edge of the image"] = int(clipped.sum())
        objects = objects.copy()
        objects.loc[clipped, BOX] = cut[clipped]
        objects.loc[clipped, "y"] = (cut[clipped, 0] + cut[clipped, 2]) / 2 - 0.5
        objects.loc[clipped, "x"] = (cut[clipped, 1] + cut[clipped, 3]) / 2 - 0.5
    return Annotation(shape, None, objects[kept].reset_index(drop=True), counted(said))


def counted(lost: Mapping[str, int]) -> dict[str, int]:
    """Keep of what was counted what did happen."""
    return {words: int(number) for words, number in lost.items() if number}


def agreed(found: Shape | None, wanted: Shape | None, where: str) -> Shape | None:
    """Give the size that a truth and its image agree on; None where neither says it.

    Raises:
        AnswerError: they differ.
    """
    if found is not None and wanted is not None and tuple(found) != tuple(wanted):
        ours, theirs = (" x ".join(map(str, size)) for size in (found, wanted))
        turned = " (turned by 90 degrees?)" if tuple(found[::-1]) == tuple(wanted) else ""
        raise AnswerError(f"the objects are of {ours} pixels, their image of {theirs}{turned}", where,
                          "pair each image with what was drawn on it, at the same scale and without a crop")
    return tuple(found) if found is not None else wanted


def needed(shape: Shape | None, where: str, why: str) -> Shape:
    """Give the size of the image, or ask for it."""
    if shape is None:
        raise AnswerError(f"the size of the image is not known, and {why}", where,
                          "name the image as well: read(path, image=...), or its size: shape=(height, width)")
    return shape
