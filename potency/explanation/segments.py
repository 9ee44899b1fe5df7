"""How much of a map lies in which part of the image: cell, rim, hole, debris, ground; named by a column or found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from potency.errors import ImageError, ManifestError, PlanError, PotencyError, nearest
from potency.evaluation.intervals import group_weights, interval
from potency.evaluation.results import Interval
from potency.explanation.parts import AUTOMATIC, CELL, DEBRIS, GROUND, HOLE, SEGMENTS, automatic, enclosed
from potency.explanation.picture import read_map
from potency.inference.view import View, windows

if TYPE_CHECKING:
    from potency.bundle import Bundle
    from potency.data.manifest import Manifest
    from potency.data.plan import Plan

SEGMENT = "segment"  # the column that says which part of an image a row is about
MOST_VALUES = 12  # of a label image over the whole set; more are the numbers of single cells
FEWEST = 5  # images of a class with a segment, of which something is said
Labels = NDArray[np.integer[Any]]
Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class Part:
    """One segment in the images explained for one class: means over the images that have it.

    `share` is its share of the map (sizes, whatever the sign), `speaks_for` that of what speaks for the answer, `area`
    that of the pixels; `beyond` is share minus area, image by image. `mean` is the mean of the map there, in units of
    the mean size of the whole map: its sign says for or against.
    """

    label: str
    segment: str
    images: int
    groups: int
    area: Interval
    share: Interval
    speaks_for: Interval
    beyond: Interval
    mean: Interval


@dataclass(frozen=True)
class Segmented:
    """Maps over segments: `parts` by class, `how` the segments came about, `rows` a line an image and segment."""

    parts: tuple[Part, ...]
    how: str
    rows: pd.DataFrame
    failed: int = 0

    @property
    def verdict(self) -> list[str]:
        """Of each class whether its maps lie in holes more than the holes' area has it, by their intervals."""
        return [_told(part, self._beside(part)) for part in self.parts
                if part.segment == HOLE and part.images >= FEWEST]  # fmt: skip

    def _beside(self, hole: Part) -> str:
        """How much map a pixel of a hole holds beside one of the cells, over the images explained for the class."""
        some = self.rows[self.rows["class"] == hole.label]
        some = some[some["id"].isin(some.loc[some[SEGMENT] == HOLE, "id"])]
        inside, around = some[some[SEGMENT] == HOLE], some[~some[SEGMENT].isin((GROUND, HOLE, DEBRIS))]
        if not around["share"].sum():
            return ""
        times = inside["share"].sum() / inside["area"].sum() * around["area"].sum() / around["share"].sum()
        return f"; a pixel of them holds {times:.2g} times what one of the cells around does"

    def table(self) -> pd.DataFrame:
        """The parts as numbers."""
        kinds = ("area", "share", "speaks_for", "beyond", "mean")
        return pd.DataFrame([
            {"class": part.label, "segment": part.segment, "images": part.images, "groups": part.groups,
             **{f"{kind}{end}": value for kind in kinds for end, value in _ends(getattr(part, kind)).items()}}
            for part in self.parts
        ])  # fmt: skip

    def write(self, folder: Path) -> Path:
        """Write `segments.csv` (by class) and `segments-rows.csv` (by image); the path of the first."""
        self.rows.to_csv(folder / "segments-rows.csv", index=False, lineterminator="\n")
        self.table().to_csv(folder / "segments.csv", index=False, lineterminator="\n")
        return folder / "segments.csv"


def named(rows: Manifest, column: str) -> tuple[str, str]:
    """The column of label images and the names of their values; ManifestError where there is no such column."""
    column, _, told = column.partition(":")
    if column != AUTOMATIC and column not in rows.table:
        raise ManifestError(f"there is no column {column!r} of label images", str(rows.folder),
                            nearest(column, [AUTOMATIC, *map(str, rows.table.columns)]))  # fmt: skip
    return column, told


def segmented(
    made: Manifest, bundle: Bundle, folder: str | Path, column: str = AUTOMATIC, *, name: str = "explanation",
    draws: int = 1000, seed: int = 0, progress: Progress | None = None,
) -> Segmented:  # fmt: skip
    """Sum the maps that `explain` wrote over segments of their images.

    Args:
        made: what `explain` gave, with the column `name` of maps.
        bundle: the one that was explained; it says which pixels of a row were looked at.
        folder: where the maps are.
        column: "auto" for rough segments found in the image; or a column of paths to label images (integers, of the
            size of the image; 0 is ground), from the table's folder. Names may follow a colon, in the order of the
            values from 0 on: "mask:ground,cell". Ground that is enclosed becomes "hole".
        draws: of the bootstrap over groups.
        progress: called with (done, total).

    Raises:
        ManifestError: no such column; no map lies in any segment. PlanError: nothing was explained.
    """
    column, told = named(made, column)
    if name not in made.table:
        raise PlanError(f"there is no column {name!r} of maps", "segments", "explain the rows first")
    names = tuple(part.strip() for part in told.split(",") if part.strip())
    found: list[dict[str, Any]] = []
    fault, failed = "", 0
    records = made.records()
    for done, row in enumerate(records, 1):
        if isinstance(row[name], str):
            try:
                found += _sums(made, row, Path(folder) / row[name], bundle.members[0].plan, column)
            except (PotencyError, OSError, ValueError) as problem:
                said = f"{problem.what} ({problem.where})" if isinstance(problem, PotencyError) else str(problem)
                failed, fault = failed + 1, fault or said
        if progress is not None:
            progress(done, len(records))
    if not found:
        raise ManifestError(f"no map could be summed over segments; the first: {fault or 'there is no map'}",
                            f"column {column}", "see `potency explain --help`")  # fmt: skip
    rows = _shares(_titled(pd.DataFrame(found), names, column != AUTOMATIC), made.table, name)
    how = ("found automatically and roughly: by brightness beside the border, and by connection"
           if column == AUTOMATIC else f"column {column}")  # fmt: skip
    return Segmented(_parts(rows, draws, seed), how, rows, failed)


def _sums(made: Manifest, row: Mapping[str, Any], path: Path, plan: Plan, column: str) -> list[dict[str, Any]]:
    """Area and sums of a map by value of the segments, one mapping each; HOLE has a value of its own, -1."""
    view = View.of(made, row, plan)
    values = read_map(path)[0].sum(0)
    if values.shape != view.shape:
        raise ImageError(f"the map is {values.shape}, what it explains {view.shape}", str(path), "explain anew")
    looked = np.zeros(view.shape, np.bool_)
    for tile in windows(view.shape, plan):
        looked[tuple(tile.window(view.shape).values())] = True
    if column == AUTOMATIC:
        top, left = view.top, view.left
        pixels = view.image.crop({"Y": slice(top, top + view.height), "X": slice(left, left + view.width)})
        labels: Labels = automatic(np.asarray(pixels))
    else:
        labels = read_labels(made, row, column, view.shape)
    found = []
    for value in np.unique(labels[looked]):
        mask = looked & (labels == value)
        inside = values[mask].astype(np.float64)
        size, speaking = float(np.abs(inside).sum()), float(np.maximum(inside, 0).sum())
        found.append({"id": row["id"], "value": int(value), "area": int(mask.sum()), "size": size, "for": speaking,
                      "sum": float(inside.sum())})  # fmt: skip
    return found


def read_labels(made: Manifest, row: Mapping[str, Any], column: str, shape: tuple[int, int]) -> Labels:
    """The label image of a row in the window and at the scale of its view (H, W): nearest sampling, -1 in holes.

    Raises:
        ImageError: it has another size than the image, or holds values that are no whole numbers.
    """
    from potency.data.readers import open_image

    path = made.folder / str(row[column])
    labels = np.asarray(open_image(path).crop())[0]
    sizes = made.open(row).sizes
    if labels.shape != (sizes["Y"], sizes["X"]):
        high, wide = labels.shape
        raise ImageError(f"the labels are {high}x{wide} pixels, the image {sizes['Y']}x{sizes['X']}", str(path),
                         "give label images of the size of their images")  # fmt: skip
    if labels.dtype.kind == "b":
        labels = labels.astype(np.uint8)
    if labels.dtype.kind not in "ui":
        if not np.array_equal(labels, np.round(labels)):
            raise ImageError("the labels are not whole numbers", str(path), "save them as integers, 0 for the ground")
        labels = labels.astype(np.int64)
    window = made.window(row)
    part = labels if window is None else labels[window["Y"], window["X"]]
    if part.shape != shape:
        down, across = (((np.arange(to) + 0.5) * of / to).astype(int) for to, of in zip(shape, part.shape, strict=True))
        part = part[np.ix_(down, across)]
    return np.where(enclosed(part != 0), -1, part.astype(np.int64))


def _titled(sums: pd.DataFrame, names: Sequence[str], given: bool) -> pd.DataFrame:
    """With the names of the segments; a set with many values numbers its cells, and they are one segment."""
    values = sorted(set(sums["value"]) - {-1, 0})
    if not given:
        title = dict(enumerate(SEGMENTS))
    elif len(values) == 1 or len(values) > MOST_VALUES:
        title = {0: GROUND, **dict.fromkeys(values, CELL)}
    else:
        title = {0: GROUND, **{value: f"segment {value}" for value in values}}
    title[-1] = HOLE
    if names and given:
        title |= {value: told for value, told in enumerate(names) if value in (0, *values)}
        rest = [told for value, told in enumerate(names) if value not in (0, *values)]
        if len(values) == 1 and rest:  # 255 in a picture of black and white
            title[values[0]] = rest[0]
    made = sums.assign(segment=sums["value"].map(title))
    return made.groupby(["id", "segment"], as_index=False, sort=False)[["area", "size", "for", "sum"]].sum()


def _shares(sums: pd.DataFrame, table: pd.DataFrame, name: str) -> pd.DataFrame:
    """A line an image and segment: shares of area and map."""
    whole = sums.groupby("id")[["area", "size", "for"]].transform("sum")
    safe = whole.where(whole > 0, 1.0)
    known = table.set_index(table["id"].astype(str))[["group", f"{name}.label"]].astype(str)
    known = known.loc[sums["id"].astype(str).tolist()]
    per_pixel = safe["size"] / safe["area"]
    return pd.DataFrame({
        "id": sums["id"], "group": known["group"].to_numpy(),
        "class": known[f"{name}.label"].to_numpy(), "segment": sums["segment"],
        "area": sums["area"] / safe["area"], "share": sums["size"] / safe["size"],
        "speaks_for": sums["for"] / safe["for"], "mean": sums["sum"] / sums["area"] / per_pixel,
    })  # fmt: skip


def _parts(rows: pd.DataFrame, draws: int, seed: int) -> tuple[Part, ...]:
    names = sorted(set(rows["group"]))
    drawn = group_weights(len(names), seed, range(draws))
    order = list(dict.fromkeys([*SEGMENTS, *sorted(set(rows["segment"]))]))
    made = []
    for label in sorted(set(rows["class"])):
        for segment in order:
            some = rows[(rows["class"] == label) & (rows[SEGMENT] == segment)]
            if not len(some):
                continue
            times = drawn[:, np.searchsorted(names, some["group"])].astype(np.float64)
            groups = int(some["group"].nunique())
            beyond = some["share"] - some["area"]
            columns = (some["area"], some["share"], some["speaks_for"], beyond, some["mean"])
            figures = [_mean(values.to_numpy(float), times, groups) for values in columns]
            made.append(Part(label, segment, len(some), groups, *figures))
    return tuple(made)


def _mean(values: NDArray[np.float64], times: NDArray[np.float64], groups: int) -> Interval:
    with np.errstate(invalid="ignore", divide="ignore"):
        return interval(float(values.mean()), times @ values / times.sum(1), groups)


def _ends(figure: Interval) -> dict[str, float | None]:
    return {"": figure.value, "_low": figure.low, "_high": figure.high}


def _told(part: Part, beside: str) -> str:
    low, high = part.beyond.low, part.beyond.high
    start = f"{part.label or 'The value'}: holes are {part.area} of the area and hold {part.share} of the map"
    if low is None or high is None:
        return f"{start}; with so few groups that says little."
    if low > 0:
        return f"{start}: MORE than their area has it (by {part.beyond}){beside}."
    if high < 0:
        return f"{start}: less than their area has it (by {part.beyond})."
    return f"{start}: no more than their area has it ({part.beyond})."
