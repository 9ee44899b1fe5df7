"""Semantic maps in a recipe: made by a rule, followed over time, and their colonies held against the true ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from potency.answers.matching import overlap
from potency.answers.regions import Regions
from potency.data.gathering import moved
from potency.evaluation import wording
from potency.evaluation.tables import Grid
from potency.measurement.colony import inclusions
from potency.systems.figures import curves

if TYPE_CHECKING:
    from potency.data.manifest import Manifest
    from potency.evaluation.results import Interval
    from potency.measurement.quality.page import Picture

Codes = NDArray[Any]
PAIRED = 0.5  # IoU from which a predicted colony is a true one
PROPERTIES = {  # of a colony: how the table calls it, and its unit
    "area": "size", "roundness": "roundness", "holes": "holes", "islands": "islands of another state",
    "inclusion_share": "share of inclusions",
}  # fmt: skip


def by_rule(
    rows: Manifest, place: Path, column: str, rule: Callable[[Codes], Codes], classes: Sequence[str]
) -> pd.DataFrame:
    """A column of maps that a rule makes of the first channel (H, W) of each image, written to a folder."""
    names = tuple(classes)
    cells = [Regions(rule(rows.open(row).crop()[0]), names).cells(place, column) for row in rows.records()]
    made = pd.DataFrame(cells).assign(id=rows.table["id"].to_numpy())
    return made.assign(**{column: moved(made[column], place, rows.folder)})


def read(rows: Manifest, column: str) -> Iterator[Codes]:
    """The codes (H, W) that the maps of a column hold, row by row."""
    for row in rows.records():
        codes = Regions.of_cells({"": row[column]}, rows.folder).codes
        yield codes.reshape(codes.shape[-2:])


def shares(rows: Manifest, column: str, classes: Sequence[str]) -> NDArray[np.float64]:
    """Which share of each image (N, classes) its map gives to each class."""
    counts = [np.bincount(codes.ravel(), minlength=len(classes)) / codes.size for codes in read(rows, column)]
    return np.array([count[: len(classes)] for count in counts])


def over_time(hours: NDArray[np.float64], true: NDArray[np.float64], said: NDArray[np.float64],
              classes: Sequence[str]) -> tuple[Picture, ...]:  # fmt: skip
    """A curve of the mean area of each class but the first (N, classes) at every hour (N,), predicted beside true.

    An hour that nobody knows is no number; without any there is no curve.
    """
    times = np.unique(hours[np.isfinite(hours)])
    if not len(times):
        return ()

    def mean(values: NDArray[np.float64]) -> list[float]:
        return [float(values[hours == time].mean()) for time in times]

    look = "Mean share of the picture over the wells seen at that hour."
    return tuple(
        curves(f"Area of {name} over time", {"true": (times, mean(true[:, k])), "predicted": (times, mean(said[:, k]))},
               ("hours", "share of the area"), look)
        for k, name in enumerate(classes) if k and (true[:, k].any() or said[:, k].any())
    )  # fmt: skip


def areas(rows: Manifest, true: NDArray[np.float64], said: NDArray[np.float64], classes: Sequence[str]) -> Grid:
    """The share of the area (N, classes) that each class has, predicted beside true, and how far apart they are."""
    lines = []
    for k, name in enumerate(classes):
        found = _judged(rows.table["group"], true[:, k], said[:, k])
        lines.append((name, f"{true[:, k].mean():.1%}", f"{said[:, k].mean():.1%}",
                      *(wording.spoken(found.get(metric), metric) for metric in ("mae", "pearson"))))  # fmt: skip
    header = ("class", "true share", "predicted share", "mean absolute error of the share", "correlation")
    return Grid("Area of each class", header, tuple(lines), "Means over the pictures tested by group.")


def _judged(groups: Any, true: NDArray[np.float64], said: NDArray[np.float64]) -> Mapping[str, Interval]:
    """Figures of numbers with their intervals over groups."""
    from potency.evaluation.columns import Bare
    from potency.evaluation.evaluate import evaluate

    table = pd.DataFrame({"truth": true, "prediction": said, "group": np.asarray(groups)})
    return evaluate(Bare(table, {"truth": "number"})).numbers["prediction"]


def colonies(rows: Manifest, column: str, body: int, classes: Sequence[str], size: float | None) -> pd.DataFrame:
    """Every true colony of the rows, and beside it (`said-...`) the predicted one that overlaps it most, if any."""
    tables = []
    pairs = zip(rows.records(), read(rows, "truth"), read(rows, column), strict=True)
    for row, true, said in pairs:
        (told, numbers), (answered, marked) = (
            inclusions(codes, body, pixel_size=size, names=tuple(classes)) for codes in (true, said)
        )
        met = overlap(numbers, marked)
        kept = np.flatnonzero(met.iou >= PAIRED)  # above a half a pair is the only one of both
        partner = dict(zip(met.truths[met.row[kept]].tolist(), met.said[met.column[kept]].tolist(), strict=True))
        beside = answered.set_index("label").reindex([partner.get(int(label), -1) for label in told["label"]])
        beside = beside.reset_index(drop=True).add_prefix("said-")
        start = {name: row[name] for name in ("id", "group", "well", "time") if name in row}
        tables.append(pd.concat([told.assign(**start), beside], axis=1).assign(predicted=len(answered)))
    return pd.concat([table for table in tables if len(table)] or tables, ignore_index=True)


def agreement(found: pd.DataFrame, size: float | None) -> Grid:
    """How far the size, roundness, centre and inclusions of predicted colonies are from the true ones'."""
    met = found[found["said-area"].notna()]
    unit, scale = ("px", 1.0) if size is None else ("um", size)
    lines: list[tuple[str, ...]] = [("found", f"{len(met)} of {len(found)}", "–", "–", "–")]
    for name, title in PROPERTIES.items() if len(met) else ():
        column = "area_um2" if name == "area" and size is not None else name
        true, said = (met[f"{end}{column}"].to_numpy(np.float64) for end in ("", "said-"))
        figures = _judged(met["group"], true, said)
        told = f"{title} ({unit}²)" if name == "area" else title
        lines.append((told, f"{true.mean():.3g}", f"{said.mean():.3g}",
                      *(wording.spoken(figures.get(metric), metric) for metric in ("mae", "pearson"))))  # fmt: skip
    if len(met):
        down, along = (met[f"said-centroid-{k}"] - met[f"centroid-{k}"] for k in (0, 1))
        away = scale * np.hypot(down.to_numpy(np.float64), along.to_numpy(np.float64))
        lines.append((f"centre ({unit})", "–", "–", f"{away.mean():.3g} (median {np.median(away):.3g})", "–"))
    header = ("colonies", "true", "predicted", "mean absolute error", "correlation")
    note = f"Colonies of both maps that overlap by an IoU of {PAIRED:g} or more; intervals by group."
    return Grid("Each colony", header, tuple(lines), note)
