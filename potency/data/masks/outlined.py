"""Objects given as outlines: drawn into labels where the image's size is known, and a table of them all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from potency.data.masks.annotation import (
    BOX,
    COLUMNS,
    Annotation,
    Shape,
    counted,
    of_boxes,
    table,
    table_of,
)  # fmt: skip
from potency.data.masks.fill import COVERED, FAR, FEWER, NO_NUMBER, Canvas, join_rings, rings_of, split_rings
from potency.data.masks.trace import area, outlines, polygons, wound
from potency.errors import AnswerError

HIDDEN = "objects of which no pixel is left, left out"
BATCH = 4096  # outlines drawn at once
PIXELS = 2**26  # of the box of an object of overlapping parts: a larger one is taken as it is


class Drawing:
    """Objects gathered one by one from a file: outlines, boxes and points, each with its class, score and more."""

    def __init__(self, shape: Shape | None, where: str) -> None:
        self.shape, self.where = shape, where
        self.canvas = Canvas(shape, where) if shape is not None and len(shape) == 2 else None
        self.rows: list[tuple[str, float, float, float, float, float, float, float, bool]] = []
        self.polygons: list[NDArray[np.float64] | None] = []
        self.more: list[Mapping[str, float]] = []
        self.lost: Counter[str] = Counter()
        self.drawn = 0
        # Outlines and runs wait to be drawn many at once, but only one of the two at a time: the order counts.
        self.runs_waiting: list[tuple[NDArray[Any], NDArray[Any], int]] = []
        self.name: object = None  # of the object that is added next, in its file: its id if all names are numbers
        self.names: list[object] = []

    def outline(self, polygon: NDArray[Any], kind: str = "", score: float = np.nan,
                more: Mapping[str, float] | None = None) -> None:
        """Add an outline; what encloses nothing is counted and left out."""
        corners = rings_of(polygon)
        if corners is None or not (np.abs(corners[~np.isnan(corners[:, 0])]) < FAR).all():
            self.lost[FEWER if corners is None else NO_NUMBER] += 1
            return
        if self.runs_waiting:
            self._draw()
        low, high = np.nanmin(corners, axis=0), np.nanmax(corners, axis=0)
        y, x = middle(corners) if self.canvas is None else (low + high) / 2 - 0.5
        self._add((kind, score, y, x, low[0], low[1], high[0], high[1], True), corners, more)
        if len(self.rows) - self.drawn >= BATCH:
            self._draw()

    def runs(self, start: NDArray[Any], length: NDArray[Any], kind: str = "", score: float = np.nan) -> None:
        """Add an object given as runs of pixels down the columns of the image."""
        if self.canvas is None:
            raise AnswerError("runs of pixels need an image of one plane", self.where, "name the image")
        if not self.runs_waiting:
            self._draw()
        self._add((kind, score, 0, 0, 0, 0, 0, 0, True), None, None)
        self.runs_waiting.append((start, length, len(self.rows)))
        if len(self.runs_waiting) >= BATCH:
            self._draw()

    def box(self, edges: Sequence[float], kind: str = "", score: float = np.nan,
            more: Mapping[str, float] | None = None) -> None:
        """Add a box: top, left, bottom, right."""
        top, left, bottom, right = map(float, edges)
        y, x = (top + bottom) / 2 - 0.5, (left + right) / 2 - 0.5
        self._add((kind, score, y, x, top, left, bottom, right, False), None, more)

    def point(self, y: float, x: float, kind: str = "", score: float = np.nan,
              more: Mapping[str, float] | None = None) -> None:
        """Add a point, in pixel indices."""
        self._add((kind, score, float(y), float(x), *[np.nan] * 4, False), None, more)

    def _add(self, row: Any, polygon: NDArray[np.float64] | None, more: Mapping[str, float] | None) -> None:
        self.rows.append(row)
        self.names.append(self.name)
        self.polygons.append(polygon)
        self.more.append(more or {})

    def _draw(self) -> None:
        if self.canvas is not None and self.runs_waiting:
            start, length, numbers = zip(*self.runs_waiting, strict=True)
            ids = np.repeat(numbers, [len(one) for one in length])
            self.canvas.runs(np.concatenate(start), np.concatenate(length), ids, columns=True)
            self.runs_waiting = []
            self.drawn = numbers[-1]
        new = range(self.drawn, len(self.rows))
        chosen = [i for i in new if self.polygons[i] is not None]
        if self.canvas is not None and chosen:
            self.canvas.draw([self.polygons[i] for i in chosen], [i + 1 for i in chosen])  # type: ignore[misc]
        self.drawn = len(self.rows)

    def done(self) -> Annotation:
        """Give what was gathered; objects keep their numbers, or get new ones from 1 in their order."""
        self._draw()
        columns = list(zip(*self.rows, strict=True)) or [()] * 9
        objects = table(numbers_of(self.names), columns[2], columns[3],
                        columns[4:8], np.array(columns[0], dtype=object), columns[1])
        for name in dict.fromkeys(name for one in self.more for name in one if name not in (*COLUMNS, "polygon", "z")):
            objects[name] = [float(one.get(name, np.nan)) for one in self.more]
        if any(polygon is not None for polygon in self.polygons):
            objects["polygon"] = pd.Series(self.polygons, dtype=object)
        drawn = np.array(columns[8], bool)
        if self.canvas is None or not drawn.any():
            found = of_boxes(objects, self.shape, self.lost)
            if self.canvas is not None and not self.rows:
                return Annotation(self.shape, self.canvas.labels, found.objects, found.lost)
            return found
        return self._labelled(objects, drawn)

    def _labelled(self, objects: pd.DataFrame, drawn: NDArray[np.bool_]) -> Annotation:
        assert self.canvas is not None
        labels = self.canvas.labels
        found = table_of(labels)
        numbers = found["label"].to_numpy() - 1
        self.lost[HIDDEN] += int(drawn.sum()) - len(numbers)
        for name in ("y", "x", *BOX):
            objects.loc[numbers, name] = found[name].to_numpy()
        kept = ~drawn
        kept[numbers] = True
        self.lost["objects with a box or point and no outline: in the table, not in the labels"] += int((~drawn).sum())
        ids = objects["label"].to_numpy()
        if not np.array_equal(ids, np.arange(1, len(ids) + 1)):
            labels = np.append(0, ids).astype(np.uint32)[labels]
        rest = of_boxes(objects[kept], self.shape, {**self.lost, **self.canvas.lost})
        return Annotation(self.shape, labels, rest.objects, counted(rest.lost))


def numbers_of(names: Sequence[object]) -> NDArray[np.int64]:
    """Give names as ids where each is a positive whole number and none comes twice, else 1, 2, 3, ...

    >>> numbers_of(["7", 3]).tolist(), numbers_of(["7", "7"]).tolist(), numbers_of(["0001-0200", None]).tolist()
    ([7, 3], [1, 2], [1, 2])
    """
    texts = [str(name) for name in names]
    if all(text.isascii() and text.isdigit() and len(text) < 11 for text in texts):
        ids = np.array([int(text) for text in texts], np.int64)
        if len(ids) == len(np.unique(ids)) and (len(ids) == 0 or (ids.min() > 0 and ids.max() < 2**32)):
            return ids
    return np.arange(1, len(texts) + 1)


def middle(polygon: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the centre of mass of the first ring of an outline, in pixel indices."""
    ring = split_rings(polygon)[0]
    shifted = ring - ring[0]
    other = np.roll(shifted, -1, axis=0)
    cross = other[:, 0] * shifted[:, 1] - shifted[:, 0] * other[:, 1]
    size = cross.sum()
    if abs(size) < 1e-9:
        return np.asarray(ring.mean(axis=0) - 0.5)
    return np.asarray(((shifted + other) * cross[:, None]).sum(axis=0) / (3 * size) + ring[0] - 0.5)


def outlined(annotation: Annotation, where: str) -> Iterator[tuple[int, list[list[NDArray[np.float64]]]]]:
    """Give row number and parts (outer ring, holes) of every object of an annotation that has an outline.

    The outlines of labels are traced; those of a file without labels are given as they are.
    """
    objects = annotation.objects
    if annotation.labels is not None:
        if annotation.labels.ndim != 2:
            raise AnswerError("a volume has no outlines", where, "write it as TIFF, NPY or OME-Zarr, or plane by plane")
        place = {label: i for i, label in enumerate(objects["label"].tolist())}
        for label, parts in outlines(annotation.labels):
            if label in place:
                yield place[label], parts
    elif "polygon" in objects:
        for i, polygon in enumerate(objects["polygon"]):
            if isinstance(polygon, np.ndarray):
                yield i, nested(split_rings(polygon))


def nested(rings: list[NDArray[np.float64]]) -> list[list[NDArray[np.float64]]]:
    """Give rings as parts: what runs the way of the first is a part, what runs against it a hole in the part before."""
    parts: list[list[NDArray[np.float64]]] = []
    for ring in rings:
        if parts and area(ring) * area(parts[0][0]) < 0:
            parts[-1].append(ring)
        else:
            parts.append([ring])
    return parts


def united(rings: Sequence[NDArray[np.float64]], shape: Shape | None) -> NDArray[np.float64]:
    """Give one outline of parts that may overlap: there it runs along the edges of the pixels that any of them has.

    >>> square = np.array([[0, 0], [0, 2], [2, 2], [2, 0.0]])
    >>> area(united([square, square + 1], None)), len(split_rings(united([square, square + 5], None)))
    (7.0, 2)
    """
    rings = [wound(ring) for ring in rings if len(ring) > 2]
    corners = np.concatenate([*rings, np.empty((0, 2))])
    if len(rings) < 2 or not (np.abs(corners) < FAR).all():
        return join_rings(rings) if rings else corners
    low = np.maximum(np.floor(corners.min(axis=0)), 0).astype(np.int64)
    high = np.minimum(np.ceil(corners.max(axis=0)), shape or FAR).astype(np.int64)
    size = np.maximum(high - low, 1)
    if float(size[0]) * float(size[1]) > PIXELS:
        return join_rings(rings)
    canvas = Canvas(tuple(size.tolist()))
    canvas.draw([ring - low for ring in rings], [1] * len(rings))
    return polygons(canvas.labels)[1] + low if COVERED in canvas.lost else join_rings(rings)


def joined(parts: list[list[NDArray[np.float64]]]) -> NDArray[np.float64]:
    """Give parts as one outline of the object table."""
    return join_rings([ring for part in parts for ring in part])
