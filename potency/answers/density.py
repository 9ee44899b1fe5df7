"""How many objects there are and where, without saying which pixel is whose: a map whose sum is their number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame

from potency.answers import contrast
from potency.answers.drawing import captioned, fitted
from potency.answers.evidence import Evidence
from potency.answers.filed import Filed, Window
from potency.answers.files import MAPS, path_of, read_values, write_pixels
from potency.answers.metrics import counting
from potency.answers.metrics.averages import Figures
from potency.answers.objects import Objects
from potency.answers.seams import joined
from potency.errors import AnswerError


@dataclass(frozen=True, eq=False)
class Density(Objects):
    """Objects a pixel, `values` (H, W): their sum is the `count`; a truth holds a `table` of points or boxes instead.

    >>> Density(DataFrame(), values=np.full((2, 4), 0.25, np.float32)).count
    2.0
    """

    table: DataFrame = field(default_factory=DataFrame)
    values: NDArray[np.float32] | None = field(default=None, kw_only=True)

    kind: ClassVar[str] = "density"
    title: ClassVar[str] = "how many objects there are, as a map whose sum is their number"
    headline: ClassVar[str] = "count_mae"
    better: ClassVar[int] = -1
    parts: ClassVar[tuple[str, ...]] = ("count",)
    asks: ClassVar[str] = "count the objects in"
    plainest: ClassVar[str] = "an even spread of objects"

    @property
    def count(self) -> float:  # type: ignore[override]
        """How many objects there are: the sum of the map, never below 0, or how many the table holds."""
        return float(len(self.table)) if self.values is None else max(0.0, float(self.values.sum(dtype=np.float64)))

    @classmethod
    def of_cells(cls, cells: Mapping[str, Any], folder: Path) -> Self:
        path = path_of(cells.get(""), folder, "part ''")
        values = read_values(path) if path.suffix.lower() in MAPS else None
        if values is not None:
            return cls(values=values, **cls.doubts_of(cells))
        table, lost = cls._read(cells, folder)
        return cls(table, lost=lost, **cls.doubts_of(cells))

    @classmethod
    def table_of(cls, cells: Mapping[str, Any], folder: Path) -> DataFrame | None:
        return None  # nothing is judged by class or score

    def cells(self, folder: Path, name: str) -> dict[str, Any]:
        if self.values is None:
            return {**super().cells(folder, name), f"{name}.count": self.count}
        return {name: write_pixels(self.values, folder, name), f"{name}.count": self.count} | self.doubts(name)

    @classmethod
    def stitch(cls, parts: Iterable[tuple[Any, Self]], canvas: Any) -> Self:
        """Join the cores of tiles: no pixel counts twice, so their sums add up."""
        seen: list[Filed] = []

        def maps() -> Iterable[tuple[Any, NDArray[Any]]]:
            for tile, answer in parts:
                if answer.values is None:
                    raise AnswerError("a table of objects is no map", f"tile at {tile.y}, {tile.x}", "stitch Objects")
                seen.append(cls(ood=answer.ood, oddity=answer.oddity, unlike=answer.unlike))
                yield tile, answer.values

        return cls(values=joined(maps(), canvas), **cls.stitched(seen))

    def against(self, truth: Objects, classes: Sequence[str], scored: bool) -> Evidence:
        arrays = {"objects": np.array([float(truth.count)]), "answered": np.array([float(self.count)])}
        if self.values is not None:
            size = self.values.shape
            true = truth.values if isinstance(truth, Density) and truth.values is not None else None
            arrays["apart"] = np.array([counting.apart(_grid(truth, size, true), _grid(self, size, self.values))])
        return Evidence(1, arrays)

    @classmethod
    def summarise(cls, evidence: Evidence, weights: NDArray[Any]) -> Figures:
        """Errors of the count, and GAME (Guerrero-Gomez-Olmedo 2015): that of 4 x 4 parts of each image added up."""
        arrays = evidence.arrays
        found = counting.figures(arrays["objects"], arrays["answered"], weights)
        return found | ({"game": counting.average(arrays["apart"], weights)} if "apart" in arrays else {})

    @classmethod
    def each(cls, evidence: Evidence) -> DataFrame:
        arrays = evidence.arrays
        told = {"true": arrays["objects"], "answered": arrays["answered"]}
        return DataFrame({"count_mae": np.abs(arrays["answered"] - arrays["objects"]), **told})

    def contrast(self, truth: Self, picture: NDArray[np.uint8], window: Window) -> NDArray[np.uint8]:
        if self.values is None:
            return Objects.contrast(self, truth, picture, window)
        tinted = contrast.density(picture, self.values[window])
        points = truth._within(picture, window) if len(truth.table) else np.empty((0, 4))
        what = DataFrame({"side": ["truth"] * len(points), "what": ["found"] * len(points)}, dtype=object)
        return contrast.boxes(tinted, {"truth": points, "prediction": np.empty((0, 4))}, what)

    def overlay(self, picture: NDArray[np.uint8], window: Window, tracks: bool = False) -> NDArray[np.uint8]:
        """The map in colour, the brighter the denser."""
        if self.values is None:
            return super().overlay(picture, window)
        return contrast.density(picture, self.values[window])

    def draw(self, image: Any) -> NDArray[np.uint8]:
        """The map on its image, and how many objects it holds."""
        if self.values is None:
            return super().draw(image)
        height, width = self.values.shape
        drawn = self.overlay(fitted(image, (height, width)), (slice(0, height), slice(0, width)))
        return captioned(drawn, f"{self.count:.1f} objects")


def _grid(one: Objects, size: tuple[int, ...], values: NDArray[Any] | None) -> NDArray[np.float64]:
    """How many objects are in each part of a grid on an image of this size."""
    if values is not None:
        return counting.summed(values)
    return counting.counted(one.centres() if len(one.table) else np.empty((0, 2)), size)
