"""The objects of many images as one table: a row each with its window, from answers or from what `measure` wrote."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from potency.answers import Labels, Objects
from potency.answers.filed import located
from potency.answers.metrics.sizes import diameters
from potency.answers.objecttable import AREA, LABEL, as_box, box, centre
from potency.errors import AnswerError, ImageError, PlanError, nearest
from potency.evaluation.wording import clean
from potency.measurement.objects.columns import CELLPROFILER, POWERS, UNITS
from potency.measurement.objects.rows import ERROR

if TYPE_CHECKING:
    from potency.data.manifest import Manifest

OBJECT, WINDOW = "object", ("tile.y", "tile.x", "tile.height", "tile.width")
NUMBERS = (OBJECT, "ObjectNumber", "Object ID")  # of an object in its label image, as `measure` may call it
DIAMETER = "equivalent_diameter_area"
SIZES = (
    f"{DIAMETER}_um", DIAMETER, "AreaShape_EquivalentDiameter", "area_um2", AREA, "AreaShape_Area", "Area µm^2",
    "Area px^2",
)  # fmt: skip
ENDS = {
    end: unit for ends in UNITS.values() for end, unit in zip(ends, ("µm", "µm²", "/mm²"), strict=True)
} | {" px^2": "px²", " px": "px"}  # fmt: skip
POINT = 12  # pixels round a point that are cut out
ORDERS: dict[str, Callable[[Any, Any], Any]] = {
    "<=": operator.le, ">=": operator.ge, "!=": operator.ne, "==": operator.eq, "=": operator.eq, "<": operator.lt,
    ">": operator.gt,
}  # fmt: skip


@dataclass(frozen=True)
class Found:
    """Objects: a `table` with a row each (`object`, its box as `tile.y` ... and all that is known of it) and its image.

    `images` are those looked at, `empty` those of them without any, `wrong` says what failed by the id of the image.
    """

    table: pd.DataFrame
    images: int
    empty: int = 0
    wrong: dict[str, str] = field(default_factory=dict)


def find_objects(manifest: Manifest, column: str, kind: type[Labels] | type[Objects]) -> Found:
    """The objects of every row's answer in a column, or the rows themselves where they are `measure`'s.

    An object has `area` in pixels, `class` and `score` where its table has them; with outlines also the diameter of the
    disc of its area, and both in um where every image has a pixel size. Rows whose file cannot be read are told of in
    `wrong`. Raises AnswerError if none can be.
    """
    table = manifest.table
    number = next((name for name in NUMBERS if name in table), "")
    if number and set(WINDOW) <= set(table):
        there = table[number].notna()
        of = (table["tile.of"] if "tile.of" in table else table["image"]).astype(str)
        failed = table[~there]
        wrong = dict(zip(of[~there], failed.get(ERROR, failed["id"]).astype(str), strict=True))
        own = table[there].assign(**{OBJECT: table.loc[there, number].astype(np.int64)})
        own["tile.of"] = of[there]
        return Found(own, int(of[there].nunique()), 0, wrong)
    parts, empty, images, sizes, wrong = list[pd.DataFrame](), 0, 0, list[Any](), dict[str, str]()
    for at, row in enumerate(manifest.records()):
        if not isinstance(row[column], str) or not row[column]:
            continue
        try:
            own, size = _objects(manifest, row, column, kind)
        except (AnswerError, ImageError) as fault:
            wrong[str(row["id"])] = fault.what
            continue
        images, empty, sizes = images + 1, empty + (not len(own)), [*sizes, size]
        keep = [name for name in table if name not in own and name not in WINDOW]
        whole = table.loc[[table.index[at]] * len(own), keep].reset_index(drop=True)
        ids = [f"{row['id']}#{each}" for each in own[OBJECT]]
        parts.append(pd.concat([whole.assign(**{"id": ids, "tile.of": str(row["id"])}), own], axis=1))
    if not images:
        first = next(iter(wrong.items()), ("", "no row names a file"))
        raise AnswerError(f"no objects can be read: {first[1]}", f"column {column!r}, {first[0]}", "see the column")
    return Found(_in_um(pd.concat(parts, ignore_index=True), parts, sizes), images, empty, wrong)


def _objects(
    manifest: Manifest, row: dict[str, Any], column: str, kind: type[Labels] | type[Objects]
) -> tuple[pd.DataFrame, Any]:
    """The objects of one row, and the size of its pixels."""
    from potency.evaluation.columns import parts_of

    with located(row["id"]):
        cells = {str(k): v for k, v in parts_of(pd.DataFrame([row]), column, kind).iloc[0].items()}
        told = kind.table_of(cells, manifest.folder)
        if told is None or not (set(box()) <= set(told) or set(centre()) <= set(told)):
            answer = kind.of_cells(cells, manifest.folder)
            told = answer.objects if isinstance(answer, Labels) else answer.table
    told = told.reset_index(drop=True)
    if set(box()) <= set(told):
        edges = as_box(told)
    else:
        middle = told[centre()].to_numpy(np.float64)
        edges = np.concatenate([middle - POINT, middle + POINT + 1], axis=1)
    corner = np.maximum(np.floor(edges[:, :2]), 0).astype(np.int64)
    ends = np.maximum(np.ceil(edges[:, 2:]).astype(np.int64), corner + 1)
    window = pd.DataFrame(np.concatenate([corner, ends - corner], axis=1), columns=list(WINDOW))
    number = told[LABEL].astype(np.int64) if LABEL in told else pd.Series(np.arange(1, len(told) + 1))
    own = told.drop(columns=[LABEL, *box()], errors="ignore")
    if AREA in own:
        own = own.assign(**{DIAMETER: diameters(own[AREA].to_numpy(), 2)})
    return pd.concat([window, own.assign(**{OBJECT: number})], axis=1), manifest.open(row).pixel_size


def _in_um(table: pd.DataFrame, parts: list[pd.DataFrame], sizes: list[Any]) -> pd.DataFrame:
    """The table with its areas and diameters in um too, where all images have square pixels of known size."""
    square = [size["X"] for size in sizes if size and abs(size["X"] - size["Y"]) <= 0.01 * size["X"]]
    if AREA not in table or len(square) < len(sizes):
        return table
    um = np.repeat(np.array(square), [len(part) for part in parts])
    return table.assign(**{"area_um2": table[AREA] * um**2, f"{DIAMETER}_um": table[DIAMETER] * um})


def size_column(table: pd.DataFrame) -> str:
    """The column that tells how large objects are: a diameter in um, else in pixels, else an area; "" for none."""
    return next((name for name in SIZES if name in table and table[name].notna().all()), "")


def numbers_in(table: pd.DataFrame, name: str) -> pd.Series:
    """A measured column; PlanError, with the nearest name, for one that is not there or holds no numbers."""
    measured = [str(each) for each in table if pd.api.types.is_numeric_dtype(table[each].dtype)]
    if name not in measured:
        what = "holds no numbers" if name in table else "is not there"
        mend = nearest(name, measured) + "; `potency measure --objects COLUMN` measures shape, intensity and neighbours"
        raise PlanError(f"the column {name!r} {what}", "the objects' columns", mend)
    return table[name]


def short(name: object) -> str:
    """The last part of a path without its suffix, which is what tells images apart; other names as they are.

    >>> short("plate/a_01.ome.tif"), short("1.5 mM")
    ('a_01.ome', '1.5 mM')
    """
    last = str(name).replace("\\", "/").rpartition("/")[2]
    return clean(re.sub(r"\.(tiff?|png|jpe?g|npy|zarr|nd2|czi|lif)$", "", last), 40)


def unit_of(column: str) -> str:
    """The unit of a measured column by its name; "" where it has none, or that of the image's values.

    >>> unit_of("area_um2"), unit_of("equivalent_diameter_area"), unit_of("eccentricity")
    ('µm²', 'px', '')
    """
    return _parted(column)[1]


def called(column: str) -> str:
    """What a measured column is called under a picture, with its unit.

    >>> called("equivalent_diameter_area_um"), called("intensity_mean-dapi")
    ('diameter, µm', 'intensity mean-dapi')
    """
    name, unit = _parted(column)
    name = "diameter" if CELLPROFILER.get(DIAMETER) == name or name == DIAMETER else name.replace("_", " ")
    return f"{name}, {unit}" if unit else name


def _parted(column: str) -> tuple[str, str]:
    """A column's name without its unit, and the unit."""
    for end, unit in ENDS.items():
        if column.endswith(end):
            return column.removesuffix(end), unit
    plain = next((name for name, theirs in CELLPROFILER.items() if theirs == column), column)
    power = POWERS.get(plain) or POWERS.get(plain.rpartition("-")[0], 0)
    return column, {1: "px", 2: "px²", -2: "/px²"}.get(power, "")


def kept_where(table: pd.DataFrame, rules: str) -> pd.DataFrame:
    """The rows for which all of some rules hold, as `area>=50,class=live`; PlanError for one that is none.

    >>> kept_where(pd.DataFrame({"area": [20, 60, 90], "class": ["live", "live", "dead"]}), "area>=50, class=live")
       area class
    1    60  live
    """
    for rule in filter(None, map(str.strip, rules.split(","))):
        told = re.fullmatch(r"(.+?)\s*(<=|>=|!=|==|=|<|>)\s*(.+)", rule)
        if told is None:
            mend = "write COLUMN, one of < <= = != >= >, and a value: area>=50"
            raise PlanError(f"{rule!r} is no rule", "--where", mend)
        name, order, value = told.groups()
        if name not in table:
            raise PlanError(f"there is no column {name!r}", "--where", nearest(name, [str(each) for each in table]))
        cells: Any = table[name]
        right: Any = value
        if pd.api.types.is_numeric_dtype(cells.dtype):
            try:
                right = float(value)
            except ValueError:
                raise PlanError(f"{name} holds numbers, and {value!r} is none", "--where", "write a number") from None
        else:
            cells = cells.astype(str)
        table = table[ORDERS[order](cells, right)]
    return table
