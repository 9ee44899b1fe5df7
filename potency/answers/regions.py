"""A class for every pixel: a semantic map."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame

from potency.answers import contrast
from potency.answers.conformal import JOIN
from potency.answers.drawing import COLOURS, captioned, fitted, flat
from potency.answers.evidence import Evidence
from potency.answers.filed import Filed, Window, given, sampled, whole_number
from potency.answers.files import is_large, read_map, write_pixels, write_pyramid
from potency.answers.matching import runs, whole
from potency.answers.metrics import boundaries, semantic
from potency.answers.metrics.averages import Figures
from potency.answers.seams import Band, lay, peeked
from potency.data.tiles import Tile
from potency.errors import AnswerError

if TYPE_CHECKING:
    from potency.data.masks.ngff import Pyramid


@dataclass(frozen=True, eq=False)
class Regions(Filed):
    """The class of each pixel as its place in `classes`: `codes`, (H, W) or (Z, H, W), any integers.

    Without `classes` they are called by their numbers. `ignore` is a value of the pixels that are not judged; there is
    none unless it is told, because in many masks 255 is the foreground.

    >>> Regions(np.array([[0, 1, 1, 255]]), ("rest", "tumour"), ignore=255).share()
    {'rest': 0.333..., 'tumour': 0.666...}
    """

    codes: NDArray[Any]
    classes: tuple[str, ...] = ()
    ignore: int | None = None

    kind: ClassVar[str] = "regions"
    title: ClassVar[str] = "a class for every pixel: a semantic map"
    headline: ClassVar[str] = "mean_iou"
    parts: ClassVar[tuple[str, ...]] = ("classes", "ignore")
    asks: ClassVar[str] = "give every pixel a class in"
    plainest: ClassVar[str] = "bands of brightness alone"

    @classmethod
    def of_cells(cls, cells: Mapping[str, Any], folder: Path) -> Self:
        names = classes_in(cells["classes"]) if given(cells, "classes") else ()
        pixels = whole(read_map(cells, folder))
        return cls(pixels, names, whole_number(cells, "ignore"), **cls.doubts_of(cells))

    @classmethod
    def table_of(cls, cells: Mapping[str, Any], folder: Path) -> DataFrame | None:
        return None

    def cells(self, folder: Path, name: str) -> dict[str, Any]:
        return {name: write_pixels(self.codes, folder, name), **self._told(name)}

    def _told(self, name: str) -> dict[str, Any]:
        """What is told of the map beside its pixels, as cells."""
        found: dict[str, Any] = {f"{name}.classes": JOIN.join(self.classes)} if self.classes else {}
        return found | ({f"{name}.ignore": self.ignore} if self.ignore is not None else {}) | self.doubts(name)

    def share(self) -> dict[str, float]:
        """The share of the judged pixels that each class has."""
        known = self.codes if self.ignore is None else self.codes[self.codes != self.ignore]
        found, counts = np.unique(known, return_counts=True)
        return {self._name(int(code)): float(count / known.size) for code, count in zip(found, counts, strict=True)}

    def _name(self, code: int) -> str:
        return self.classes[code] if code < len(self.classes) else str(code)

    @classmethod
    def stitch(cls, parts: Iterable[tuple[Any, Self]], canvas: Any) -> Self:
        """Join the cores of tiles; `canvas` is the size (Y, X) of the whole."""
        band, seen = Band(canvas), list[Self]()
        for tile, answer in parts:
            seen.append(answer._laid(tile, band, seen))
        if not seen:
            raise AnswerError("there is no tile to stitch", "Regions.stitch", "give at least one")
        _, codes = band.settle() or (0, np.zeros(canvas, np.uint8))
        return cls(codes, seen[0].classes, seen[0].ignore, **cls.stitched(seen))

    @classmethod
    def join(cls, parts: Iterable[tuple[Any, Self]], canvas: Any, folder: Path, name: str) -> dict[str, Any]:
        """Join tiles as `stitch` does, and write the map; of a large image (`files.LARGE`) as OME-Zarr."""
        if not is_large(canvas):
            return super().join(parts, canvas, folder, name)
        (_, first), parts = peeked(parts)
        band, seen = Band(canvas), list[Self]()

        def fill(pyramid: Pyramid) -> None:
            for tile, answer in parts:
                if (done := band.settle(pyramid.aligned(tile.y))) is not None:
                    pyramid.put(*done)
                seen.append(answer._laid(tile, band, seen))
            if (done := band.settle()) is not None:
                pyramid.put(*done)

        told = [{"label-value": code, "class": label} for code, label in enumerate(first.classes)]
        path = write_pyramid(fill, (*first.codes.shape[:-2], *canvas), folder, name, told)
        return {name: path, **replace(first, codes=first.codes[:0], **cls.stitched(seen))._told(name)}

    def _laid(self, tile: Tile, band: Band, before: Sequence[Self]) -> Self:
        """Lay the core of a tile into the whole; gives the answer without its pixels: what is known of its doubts."""
        if before and (self.classes, self.ignore) != (before[0].classes, before[0].ignore):
            raise AnswerError("the tiles of one image have different classes", f"tile at {tile.y}, {tile.x}",
                              "answer all tiles with one model")  # fmt: skip
        lay(tile, self.codes, band)
        return replace(self, codes=np.zeros((0, 0), self.codes.dtype))

    def compare(self, truth: Self) -> Evidence:
        return self.against(truth, (), False)

    def against(self, truth: Self, classes: Sequence[str], scored: bool) -> Evidence:
        names = truth.classes or self.classes
        if truth.classes and self.classes and truth.classes != self.classes:
            raise AnswerError("truth and prediction have other classes, or another order of them",
                              f"{JOIN.join(truth.classes)} beside {JOIN.join(self.classes)}",
                              "give both the same codes, and the same part .classes")  # fmt: skip
        said = self.codes if self.ignore is None else np.where(self.codes == self.ignore, 0, self.codes)
        if said.shape != truth.codes.shape:
            raise AnswerError(f"the prediction has the shape {said.shape}, the truth {truth.codes.shape}",
                              "two semantic maps", "give both the same size")  # fmt: skip
        (left, right), lengths = runs(whole(truth.codes), whole(said))
        void = None if truth.ignore is None else truth.codes == truth.ignore
        if truth.ignore is not None:
            kept = left != truth.ignore
            left, right, lengths = left[kept], right[kept], lengths[kept]
        highest = int(max(left.max(initial=0), right.max(initial=0)))
        if names and highest >= len(names):
            raise AnswerError(f"a pixel has the code {highest}, and there are {len(names)} classes", JOIN.join(names),
                              "name all classes in .classes, or tell the ignored value in .ignore")  # fmt: skip
        known = truth.codes if void is None else np.where(void, 0, truth.codes)
        arrays = boundaries.evidence(known, said, void)
        return Evidence(1, arrays, names, {"confusion": semantic.evidence(left, right, lengths)})

    @classmethod
    def summarise(cls, evidence: Evidence, weights: NDArray[Any]) -> Figures:
        """Pixel accuracy, IoU and Dice of each class and their means, and figures of outlines."""
        found = semantic.figures(evidence.lists["confusion"], evidence.labels, weights)
        return found | boundaries.figures(evidence.arrays, weights)

    @classmethod
    def each(cls, evidence: Evidence) -> DataFrame:
        alone = (evidence.take(np.array([row])) for row in range(evidence.samples))
        one = np.ones((1, 1))
        return DataFrame({cls.headline: [float(cls.summarise(sample, one)[cls.headline][0]) for sample in alone]})

    def contrast(self, truth: Self, picture: NDArray[np.uint8], window: Window) -> NDArray[np.uint8]:
        true, said = (sampled(one.codes, picture, window) for one in (truth, self))
        judged = np.full(true.shape, True) if truth.ignore is None else true != truth.ignore
        return contrast.maps(picture, true, said, judged)

    def overlay(self, picture: NDArray[np.uint8], window: Window, tracks: bool = False) -> NDArray[np.uint8]:
        """Every class but the first in its colour, half transparent, ignored pixels left as they are."""
        made, plane = picture.copy(), sampled(self.codes, picture, window)
        tinted = (plane > 0) if self.ignore is None else (plane > 0) & (plane != self.ignore)
        colours = np.array(COLOURS, np.uint8)[plane[tinted].astype(np.intp) % len(COLOURS)]
        made[tinted] = (made[tinted].astype(np.uint16) + colours) // 2
        return made

    def draw(self, image: Any) -> NDArray[np.uint8]:
        """The overlay on the image, and the share of each class."""
        height, width = flat(self.codes).shape
        drawn = self.overlay(fitted(image, (height, width)), (slice(0, height), slice(0, width)))
        shares = list(self.share().items())
        bars = [(share, COLOURS[k % len(COLOURS)]) for k, (_, share) in enumerate(shares)]
        return captioned(drawn, ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares), bars)


def classes_in(cell: Any) -> tuple[str, ...]:
    """The names of classes in a cell, in their order, however the bar stands between them.

    >>> classes_in("ground | cell"), classes_in("ground|cell")
    (('ground', 'cell'), ('ground', 'cell'))
    """
    return tuple(name.strip() for name in str(cell).split(JOIN.strip()))
