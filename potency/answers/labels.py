"""Every object of an image with its outline: a label image, and a table of the objects."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame

from potency.answers import contrast
from potency.answers.answer import Answer
from potency.answers.drawing import captioned, colours_apart, colours_of, fitted, flat
from potency.answers.evidence import Evidence, Ragged
from potency.answers.filed import Filed, Window, given, sampled, table_at, whole_number
from potency.answers.files import (
    REGIONPROPS,
    is_large,
    path_of,
    read_objects,
    read_part,
    told_in,
    write_pixels,
    write_pyramid,
    write_table,
)  # fmt: skip
from potency.answers.matching import Overlap, overlap
from potency.answers.metrics import boundaries, counting, instances, ranked, sizes, typed
from potency.answers.metrics.averages import Figures
from potency.answers.objecttable import SCORE, centre, classes_of, codes, described, numbers
from potency.answers.seams import Seams, peeked
from potency.errors import AnswerError

if TYPE_CHECKING:
    from potency.data.masks.ngff import Pyramid

logger = logging.getLogger(__name__)

STRIPS = 16  # of a band, which are numbered one after the other
BARE = (".tif", ".tiff", ".png", ".npy")  # files that tell nothing of an object but where it is


@dataclass(frozen=True, eq=False)
class Labels(Filed):
    """Objects as a label image `instances`, (H, W) or (Z, H, W), 0 = background, and their table `objects`.

    `ignore` is a value of the pixels that are not judged (the truth is not known there). A row of the table is an
    object: `label`, `area`, centre and box in pixels by the names of regionprops, `class` and `score` where known, and
    any measurement. `cut` counts how often an object reached further than what its tile saw, where its outline may be
    wrong. Made by `Labels.of`.

    >>> answer = Labels.of(np.array([[0, 7, 7], [0, 0, 7]]))
    >>> answer.count, answer.objects["area"].tolist()
    (1, [3])
    """

    instances: NDArray[Any]
    objects: DataFrame = field(default_factory=DataFrame)
    ignore: int | None = None
    cut: int = field(default=0, kw_only=True)

    kind: ClassVar[str] = "labels"
    title: ClassVar[str] = "every object with its outline: a label image, and a table of the objects"
    headline: ClassVar[str] = "dsb_ap"
    parts: ClassVar[tuple[str, ...]] = ("count", "objects", "ignore", "cut")
    asks: ClassVar[str] = "outline every object in"
    plainest: ClassVar[str] = "a threshold of brightness alone"

    @classmethod
    def of(cls, pixels: NDArray[Any], table: DataFrame | None = None, ignore: int | None = None, **more: Any) -> Self:
        """The answer of a label image, with what a table tells of its objects, joined by `label`.

        Errors: floating or negative numbers, a table that tells nothing of an object.
        """
        return cls(pixels, described(pixels, table, ignore), ignore, **more)

    @property
    def count(self) -> int:
        """How many objects there are."""
        return len(self.objects)

    @property
    def known(self) -> NDArray[Any]:
        """The label image with background where it is not judged: no answer may excuse itself."""
        return self.instances if self.ignore is None else np.where(self.instances == self.ignore, 0, self.instances)

    @classmethod
    def of_cells(cls, cells: Mapping[str, Any], folder: Path) -> Self:
        found, own = read_objects(cells, folder), table_at(cells, "objects", folder)
        if found.labels is None:
            unknown = found.shape is None and "polygon" in found.objects
            raise AnswerError(
                "the size of the image is not known, and outlines are drawn to it" if unknown else
                "the file holds boxes or points, no outlines", str(folder / str(cells[""])),
                "give the table a column image, of files that are there" if unknown else
                "judge the column as objects: --kind objects",
            )  # fmt: skip
        table = told_in(found).drop(columns=REGIONPROPS.values(), errors="ignore") if own is None else own
        return cls.of(found.labels, table, whole_number(cells, "ignore"), lost=found.lost, **cls.doubts_of(cells))

    @classmethod
    def table_of(cls, cells: Mapping[str, Any], folder: Path) -> DataFrame | None:
        if given(cells, "objects"):
            return table_at(cells, "objects", folder)
        path = path_of(cells.get(""), folder, "part ''")
        return None if path.suffix.lower() in BARE else told_in(read_objects(cells, folder))

    def cells(self, folder: Path, name: str) -> dict[str, Any]:
        """Write `<name>/<what is in it>.tif` and its table beside it; their paths from `folder`, and the count."""
        return {name: write_pixels(self.instances, folder, name), **self._told(folder, name)}

    def _told(self, folder: Path, name: str) -> dict[str, Any]:
        """What is told of the objects beside their pixels, as cells."""
        if self.cut:  # said of what is kept; whoever joins tiles to try a threshold keeps nothing
            logger.warning(
                "%d times an object reached further than its tile sees: outlines there may be wrong, or objects "
                "missing. Learn from images that show objects as large, or work at a coarser pixel size", self.cut,
            )  # fmt: skip
        table = write_table(self.objects, folder, name)
        found: dict[str, Any] = {f"{name}.count": self.count, f"{name}.objects": table}
        found |= {f"{name}.ignore": self.ignore} if self.ignore is not None else {}
        return found | ({f"{name}.cut": self.cut} if self.cut else {}) | self.doubts(name)

    @classmethod
    def stitch(cls, parts: Iterable[tuple[Any, Self]], canvas: Any) -> Self:
        """Join the objects of tiles, each from the tile whose core holds its centre; numbered by place.

        `canvas` is the size (Y, X) of the whole. Where every tile sees its objects whole (its halo is as wide as an
        object) and sees them as the whole image shows them, the result is that of the whole image; `cut` counts where
        that was not so. `ignore` is dropped.
        """
        seams, seen = Seams(canvas), list[Self]()
        for tile, answer in parts:
            seams.add(tile, answer.instances, answer.objects)
            seen.append(answer._bare())
        _, rows = seams.settle() or (0, np.zeros(canvas, np.uint32))
        new, table = seams.numbered()
        return cls.of(new[rows], table, cut=seams.cut, **cls.stitched(seen))

    @classmethod
    def join(cls, parts: Iterable[tuple[Any, Self]], canvas: Any, folder: Path, name: str) -> dict[str, Any]:
        """Join tiles, given from the top of the image to its bottom, as `stitch` does, and write what becomes of them.

        Of a large image (`files.LARGE`) only a band is held in memory; its labels become an OME-Zarr.
        """
        if not is_large(canvas):
            return super().join(parts, canvas, folder, name)
        (_, first), parts = peeked(parts)
        seams, seen, tables = Seams(canvas), list[Self](), list[DataFrame]()

        def fill(pyramid: Pyramid) -> None:
            for tile, answer in parts:
                pyramid.keep(seams.settle(pyramid.aligned(tile.window(canvas)["Y"].start)))
                seams.add(tile, answer.instances, answer.objects)
                seen.append(answer._bare())
            pyramid.keep(seams.settle())
            new, table = seams.numbered()
            tables.append(table)
            for top, rows in pyramid.kept():
                for part in np.array_split(rows, STRIPS, axis=-2):  # an index takes twice the memory of labels
                    part[...] = new[part]
                pyramid.put(top, rows)

        path = write_pyramid(fill, (*first.instances.shape[:-2], *canvas), folder, name)
        made = replace(first._bare(), objects=tables[0], ignore=None, cut=seams.cut, **cls.stitched(seen))
        return {name: path, **made._told(folder, name)}

    def _bare(self) -> Self:
        """The answer without its pixels and objects: what is known of its doubts."""
        return replace(self, instances=np.zeros((0, 0), np.uint32), objects=self.objects[:0].copy())

    def overlap(self, truth: Self) -> Overlap:
        """What its objects share with those of a truth, but for pixels that the truth ignores."""
        return overlap(truth.instances, self.known, truth.ignore)

    def mistakes(self, truth: Self) -> DataFrame:
        """What became of every object of truth and prediction: found, missed, split, merged or spurious."""
        return instances.mistakes(self.overlap(truth))

    def compare(self, truth: Self) -> Evidence:
        return self.against(truth, classes_of([truth.objects, self.objects]), SCORE in self.objects.columns)

    def against(self, truth: Self, classes: Sequence[str], scored: bool) -> Evidence:
        found, size = self.overlap(truth), len(classes)
        kinds = codes(truth.objects, classes), codes(self.objects, classes)
        kept = ~found.excused
        places = centre(truth.instances.ndim)
        centres = numbers(truth.objects, places, "centre"), numbers(self.objects[kept], places, "centre")
        void = None if truth.ignore is None else truth.instances == truth.ignore
        arrays = {
            **instances.evidence(found),
            **instances.areas(found),
            **sizes.evidence(found, truth.instances.ndim),
            **boundaries.evidence(truth.known, self.known, void),
            **typed.panoptic(found, *kinds, size),
            **typed.centred(centres, (kinds[0], kinds[1][kept]), size),
        }
        lists: dict[str, Ragged] = {}
        if scored:
            score = numbers(self.objects, [SCORE], "score")[:, 0]
            crowd = np.zeros(len(found.truths), bool)
            candidates = ranked.Candidates(*kinds, score, found.row, found.column, found.iou, crowd, found.excused)
            more, lists["ranked"] = ranked.evidence(candidates, size)
            arrays |= more
        return Evidence(1, arrays, tuple(classes), lists)

    @classmethod
    def summarise(cls, evidence: Evidence, weights: NDArray[Any]) -> Figures:
        """AP (Data Science Bowl), F1, PQ, AJI, Dice, Jaccard, mistakes, outlines, counts, sizes, PanNuke, HoVer-Net.

        AP by the definition of COCO where the prediction has scores; figures of classes where both sides have classes.
        """
        arrays = evidence.arrays
        found = instances.figures(arrays, weights)
        if "ranked" in evidence.lists:
            found |= ranked.figures(arrays, evidence.lists, evidence.labels, weights)
        found |= typed.figures(arrays, evidence.labels, weights)
        found |= boundaries.figures(arrays, weights) | sizes.figures(arrays, weights)
        return found | counting.figures(arrays["objects"], arrays["answered"], weights)

    @classmethod
    def bearers(cls, evidence: Evidence) -> dict[str, NDArray[np.bool_]]:
        return sizes.bearers(evidence.arrays)

    @classmethod
    def each(cls, evidence: Evidence) -> DataFrame:
        return instances.each(evidence.arrays)

    def contrast(self, truth: Self, picture: NDArray[np.uint8], window: Window) -> NDArray[np.uint8]:
        true, said = (sampled(one, picture, window) for one in (truth.known, self.known))
        return contrast.instances(picture, true, said, self.mistakes(truth))

    @classmethod
    def part_of(
        cls, cells: Mapping[str, Any], folder: Path, window: Window, size: Sequence[int]
    ) -> tuple[Self, Window]:
        pixels = read_part(cells, folder, window, size)
        if pixels is None:
            return super().part_of(cells, folder, window, size)
        start = slice(0, pixels.shape[0]), slice(0, pixels.shape[1])
        return cls.of(pixels, ignore=whole_number(cells, "ignore")), start

    def overlay(self, picture: NDArray[np.uint8], window: Window, tracks: bool = False) -> NDArray[np.uint8]:
        """Outlines, in colours that no neighbour shares; those of tracks in the colour of their number."""
        made, plane = picture.copy(), sampled(self.known, picture, window)
        edge = boundaries.outline(plane)
        if tracks:
            made[edge] = colours_of(plane[edge])
        else:
            numbers, colours = colours_apart(plane)
            made[edge] = colours[np.searchsorted(numbers, plane[edge])]
        return made

    def draw(self, image: Any) -> NDArray[np.uint8]:
        """Outlines on the image, and how many there are."""
        height, width = flat(self.instances).shape
        drawn = self.overlay(fitted(image, (height, width)), (slice(0, height), slice(0, width)))
        return captioned(drawn, f"{self.count} object{'' if self.count == 1 else 's'}")


def diameter(answers: Sequence[Answer]) -> float:
    """The median diameter in px (of a disc of the object's area) of all objects; inf where there is none.

    >>> round(diameter([Labels.of(np.array([[0, 1, 1], [0, 1, 1]]))]), 2)
    2.26
    """
    areas = [one.objects["area"].to_numpy(float) for one in answers if isinstance(one, Labels)]
    found = np.concatenate(areas) if areas else np.zeros(0)
    return float(2 * np.sqrt(np.median(found) / np.pi)) if len(found) else np.inf
