"""Objects without outlines: points or boxes, with class and score where known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame, concat

from potency.answers import contrast
from potency.answers.drawing import COLOURS, as_rgb, captioned, enlarged
from potency.answers.evidence import Evidence, Ragged
from potency.answers.filed import Filed, Window, given, table_at
from potency.answers.files import TABLES, path_of, read_objects, read_table, told_in, write_table
from potency.answers.matching import near, paired, touching
from potency.answers.metrics import counting, detections, ranked, typed
from potency.answers.metrics.averages import Figures
from potency.answers.objecttable import CLASS, CROWD, SCORE, as_box, box, centre, classes_of, codes, numbers
from potency.answers.seams import owned
from potency.errors import AnswerError


@dataclass(frozen=True, eq=False)
class Objects(Filed):
    """A `table` with one row an object: a box `bbox-0` ... `bbox-3`, or a centre `centroid-0`, `centroid-1`, in pixels.

    `class`, `score` where known; `crowd` marks true boxes that hold objects nobody told apart, which need not be found.
    Points are one object within `radius` pixels. `faint` are boxes of too low a score to be called objects: average
    precision ranks them too, nothing else looks at them.

    >>> Objects(DataFrame({"centroid-0": [3.0], "centroid-1": [4.0]})).boxes
    False
    """

    table: DataFrame
    radius: float = typed.RADIUS
    faint: DataFrame = field(default_factory=DataFrame, kw_only=True)

    kind: ClassVar[str] = "objects"
    title: ClassVar[str] = "every object as a point or a box"
    headline: ClassVar[str] = "f1"
    parts: ClassVar[tuple[str, ...]] = ("count", "radius", "faint")
    asks: ClassVar[str] = "find every object in"
    plainest: ClassVar[str] = "spots of one size alone"

    @property
    def boxes(self) -> bool:
        """Whether the objects are boxes; a table without rows may be either."""
        return box()[0] in self.table.columns

    @property
    def count(self) -> int:
        """How many objects there are."""
        return len(self.table)

    @classmethod
    def of_cells(cls, cells: Mapping[str, Any], folder: Path) -> Self:
        try:
            radius = float(cells["radius"]) if given(cells, "radius") else typed.RADIUS
        except (TypeError, ValueError) as error:
            raise AnswerError(f"{cells['radius']!r} is no radius", "part 'radius'", "write pixels") from error
        table, lost = cls._read(cells, folder)
        faint = table_at(cells, "faint", folder)
        more = cls.doubts_of(cells) if faint is None else {"faint": faint, **cls.doubts_of(cells)}
        return cls(table, radius, lost=lost, **more)

    @classmethod
    def table_of(cls, cells: Mapping[str, Any], folder: Path) -> DataFrame | None:
        return cls._read(cells, folder)[0]

    @staticmethod
    def _read(cells: Mapping[str, Any], folder: Path) -> tuple[DataFrame, Mapping[str, int]]:
        """A table of ours as it stands, or what a file of others says; and what reading that left out."""
        path = path_of(cells.get(""), folder, "part ''")
        if path.suffix.lower() in TABLES:
            table = read_table(path)
            if centre()[0] in table or box()[0] in table:
                _refuse_odd(table, path)
                return table, {}
        found = read_objects(cells, folder)
        return told_in(found), found.lost

    def cells(self, folder: Path, name: str) -> dict[str, Any]:
        found: dict[str, Any] = {name: write_table(self.table, folder, name), f"{name}.count": self.count}
        found |= {f"{name}.radius": self.radius} if self.radius != typed.RADIUS else {}
        found |= {f"{name}.faint": write_table(self.faint, folder, name)} if len(self.faint) else {}
        return found | self.doubts(name)

    @classmethod
    def stitch(cls, parts: Iterable[tuple[Any, Self]], canvas: Any) -> Self:
        """Join the objects of tiles, each from the tile whose core holds its centre (of a box: its middle)."""
        mine, faint, seen = [], [], []
        for tile, answer in parts:
            mine.append(_mine(tile, answer, canvas))
            faint.append(_mine(tile, replace(answer, table=answer.faint), canvas))
            seen.append(replace(answer, table=answer.table[:0], faint=answer.faint[:0]))
        if not mine:
            raise AnswerError("there is no tile to stitch", "Objects.stitch", "give at least one")
        return cls(_one(mine), seen[0].radius, faint=_one(faint), **cls.stitched(seen))

    def centres(self) -> NDArray[np.float64]:
        """The centres (objects, 2) in pixels; of boxes their middles, less the half pixel by which edges lie lower."""
        if self.boxes and centre()[0] not in self.table.columns:
            boxes = as_box(self.table)
            return (boxes[:, :2] + boxes[:, 2:]) / 2 - 0.5
        return numbers(self.table, centre(), "centre")

    def compare(self, truth: Self) -> Evidence:
        return self.against(truth, classes_of([truth.table, self.table]), SCORE in self.table.columns)

    def among(self, tables: Sequence[DataFrame]) -> Self:
        filled = next((table for table in tables if len(table)), self.table)
        return self if len(self.table) else replace(self, table=filled[:0])

    def _boxed(self, truth: Self) -> bool:
        """Whether boxes are compared: as the truth has it, or the answer where the truth has no objects."""
        return (truth if len(truth.table) else self).boxes

    def against(self, truth: Self, classes: Sequence[str], scored: bool) -> Evidence:
        kinds = codes(truth.table, classes), codes(self.table, classes)
        if not self._boxed(truth):
            pairs = near(truth.centres(), self.centres(), truth.radius)
            arrays = typed.centred((truth.centres(), self.centres()), kinds, len(classes), truth.radius)
            arrays |= {"apart": np.array([pairs[2].sum()]), "objects": np.array([truth.count], np.float64)}
            return Evidence(1, {**arrays, "answered": np.array([self.count], np.float64)}, tuple(classes))
        if self.count and not self.boxes:
            raise AnswerError("the prediction holds points, the truth boxes", ", ".join(map(str, self.table.columns)),
                              "give the truth as points (centroid-0, centroid-1), or predict boxes")  # fmt: skip
        crowd = np.asarray(truth.table.get(CROWD, np.zeros(truth.count)), bool)
        every = self._ranked(classes) if scored else self.table
        row, column, iou = touching(as_box(truth.table), as_box(every), crowd)
        told = column < self.count  # what is faint stands below
        arrays = detections.boxes((row[told], column[told], iou[told]), (truth.count, self.count), crowd)
        lists: dict[str, Ragged] = {}
        if scored:
            score = numbers(every, [SCORE], "score")[:, 0]
            excused = np.zeros(len(every), bool)
            said = kinds[0], codes(every, classes)
            candidates = ranked.Candidates(*said, score, row, column, iou, crowd, excused)
            more, lists["ranked"] = ranked.evidence(candidates, len(classes))
            arrays |= more
        return Evidence(1, arrays, tuple(classes), lists)

    def _ranked(self, classes: Sequence[str]) -> DataFrame:
        """All boxes, the faint ones last; of a class that nobody else speaks of they rank nowhere."""
        faint = self.faint[self.faint[CLASS].isin(classes)] if classes and CLASS in self.faint else self.faint
        return _one([self.table, faint]) if len(faint) else self.table

    @classmethod
    def summarise(cls, evidence: Evidence, weights: NDArray[Any]) -> Figures:
        """F1, precision and recall, errors of the count; of boxes with scores mAP; of points with classes F_c."""
        arrays = evidence.arrays
        found = detections.figures(arrays, weights)
        if "ranked" in evidence.lists:
            found |= ranked.figures(arrays, evidence.lists, evidence.labels, weights)
        if "kinds" in arrays:
            found |= typed.figures(arrays, evidence.labels, weights)
        return found | counting.figures(arrays["objects"], arrays["answered"], weights)

    @classmethod
    def each(cls, evidence: Evidence) -> DataFrame:
        return detections.each(evidence.arrays)

    def mistakes(self, truth: Self) -> DataFrame:
        """What became of every object of both, in the order of their tables: found, missed or spurious."""
        if self._boxed(truth):
            row, column, iou = touching(as_box(truth.table), as_box(self.table))
            close = np.flatnonzero(iou > 0.5)
            kept = close[paired(row[close], column[close], 1 + iou[close] / (2 * max(len(close), 1)))]
            row, column = row[kept], column[kept]
        else:
            row, column, _ = near(truth.centres(), self.centres(), truth.radius)
        what = [np.full(truth.count, "missed", object), np.full(self.count, "spurious", object)]
        what[0][row], what[1][column] = "found", "found"
        sides = np.repeat(np.array(["truth", "prediction"], object), [truth.count, self.count])
        return DataFrame({"side": sides, "what": np.concatenate(what)})

    def contrast(self, truth: Self, picture: NDArray[np.uint8], window: Window) -> NDArray[np.uint8]:
        edges = {side: one._within(picture, window) for side, one in (("truth", truth), ("prediction", self))}
        return contrast.boxes(picture, edges, self.mistakes(truth))

    def edges(self) -> NDArray[np.float64]:
        """The boxes of the objects in pixels (objects, 4); of points boxes of no size at the middle of their pixel."""
        return as_box(self.table) if self.boxes else np.tile(self.centres() + 0.5, (1, 2))

    def overlay(self, picture: NDArray[np.uint8], window: Window, tracks: bool = False) -> NDArray[np.uint8]:
        """Boxes, or small circles, in the colour of their class."""
        from PIL import Image, ImageDraw

        sheet = Image.fromarray(picture)
        pen, kinds = ImageDraw.Draw(sheet), codes(self.table, classes_of([self.table]) if CLASS in self.table else ())
        for code, (top, left, bottom, right) in zip(kinds, self._within(picture, window), strict=True):
            colour = COLOURS[code % len(COLOURS)]
            if (top, left) == (bottom, right):
                pen.ellipse([left - 3, top - 3, left + 3, top + 3], outline=colour)
            else:
                low, high = (left, top), (right - 1, bottom - 1)
                pen.rectangle([low, tuple(map(max, low, high))], outline=colour)
        return np.asarray(sheet)

    def _within(self, picture: NDArray[np.uint8], window: Window) -> NDArray[np.float64]:
        """The edges of the objects in pixels of a picture of a window."""
        low = np.array([side.start for side in window] * 2)
        scale = np.tile(np.array(picture.shape[:2]) / [side.stop - side.start for side in window], 2)
        return np.asarray((self.edges() - low) * scale)

    def draw(self, image: Any) -> NDArray[np.uint8]:
        """Boxes or circles on the image, and how many there are."""
        rgb = as_rgb(image)
        drawn = self.overlay(enlarged(rgb), (slice(0, rgb.shape[0]), slice(0, rgb.shape[1])))
        return captioned(drawn, f"{self.count} object{'' if self.count == 1 else 's'}")


def _refuse_odd(table: DataFrame, path: Path) -> None:
    """Boxes without size and places that are no numbers, while it is known in which file they stand."""
    try:
        _ = as_box(table) if box()[0] in table else numbers(table, centre(), "centre")
    except AnswerError as fault:
        raise AnswerError(fault.what, f"{path}, {fault.where}", fault.mend) from fault


def _mine(tile: Any, answer: Objects, canvas: Any) -> DataFrame:
    """The objects of an answer that its tile owns, with the columns they have."""
    middle = DataFrame(answer.centres(), columns=centre(), index=answer.table.index)
    kept = owned(tile, answer.table.assign(**{name: middle[name] for name in centre()}), canvas)
    return kept if centre()[0] in answer.table.columns else kept.drop(columns=centre())


def _one(tables: Sequence[DataFrame]) -> DataFrame:
    """Tables as one; of those without rows only where all are so."""
    filled = [table for table in tables if len(table)] or list(tables[:1])
    return filled[0].reset_index(drop=True) if len(filled) == 1 else concat(filled, ignore_index=True)
