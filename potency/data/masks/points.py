"""Tables of points, boxes or run lengths: CSV of many programs, of one image or of several told apart by a column."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from potency.data.masks.annotation import BOX, Annotation, Shape, agreed, needed
from potency.data.masks.meant import Names
from potency.data.masks.outlined import Drawing
from potency.data.masks.runlength import column_runs
from potency.data.tables import read_table, typed, write_table
from potency.errors import AnswerError, nearest

suffixes = (".csv", ".tsv", ".parquet")
LIMIT = 2**31  # bytes
# What columns are called, in small letters without blanks, dashes and underscores.
NAMES = {
    "x": ("x", "col", "column", "cx", "axis1", "centroid1", "xcenter", "xcentre", "centroidx", "centroidxpx",
          "locationcenterx", "xpx", "posx"),
    "y": ("y", "row", "cy", "axis0", "centroid0", "ycenter", "ycentre", "centroidy", "centroidypx", "locationcentery",
          "ypx", "posy"),
    "top": ("top", "ymin", "y1", "bbox0", "y0", "miny"),
    "left": ("left", "xmin", "x1", "bbox1", "x0", "minx"),
    "bottom": ("bottom", "ymax", "y2", "bbox2", "maxy"),
    "right": ("right", "xmax", "x2", "bbox3", "maxx"),
    "class": ("class", "classname", "type", "category", "classification", "phenotype", "celltype", "name", "label"),
    "score": ("score", "confidence", "probability", "prob"),
    "image": ("image", "imageid", "file", "filename", "imagename", "imagepath"),
    "runs": ("encodedpixels", "rle"),
    "height": ("height", "imageheight"),
    "width": ("width", "imagewidth"),
}  # fmt: skip
SIZE = ("height", "width")
MICROMETRES = ("µm", "μm", "um", "micron")


def recognises(path: Path, head: bytes) -> bool:
    """Say whether it is named a table."""
    return bool(head) and path.name.lower().endswith(suffixes)


def read(path: Path, name: str | None, shape: Shape | None) -> Annotation:
    """Read a row an object; a column that tells images apart picks those of the image named."""
    if (known := path.stat()).st_size > LIMIT:
        raise AnswerError(f"the table has more than {LIMIT // 2**30} GiB", str(path), "cut it into tables by image")
    table = _looked_through(path, known.st_size, known.st_mtime_ns)
    columns, rows = table.columns, _of_image(table, name, path)
    if "runs" in columns:
        return _of_runs(rows, columns, shape, path)
    ways = places_of(columns)
    if not ways:
        far = [str(one) for one in rows.columns if any(unit in str(one).lower() for unit in MICROMETRES)]
        more = f" ({far[0]} is in micrometres, and the size of a pixel is not said here)" if far else ""
        raise AnswerError("the table has no columns of places in pixels" + more,
                          f"{path}, columns: {', '.join(map(str, rows.columns))[:300]}",
                          "name them x and y, or left, top, right and bottom, or left, top, width and height")
    if ways == ("y", "x"):
        _refuse_doubtful(rows, columns, shape, path)
    drawing = Drawing(shape[-2:] if shape else None, str(path))
    places = [_numbers(rows, columns[one], path) for one in ways]
    if ways[2:] == SIZE:
        places[2:] = [[at + size for at, size in zip(*pair, strict=True)] for pair in (places[::2], places[1::2])]
    labels, kinds = _labels_and_classes(rows, columns)
    scores = _numbers(rows, columns["score"], path) if "score" in columns else [math.nan] * len(rows)
    centres = [_numbers(rows, columns[one], path) for one in ("y", "x")] if {"x", "y"} <= set(columns) else None
    for i, (kind, score) in enumerate(zip(kinds, scores, strict=True)):
        drawing.name = labels[i] if labels else None
        edges = [place[i] for place in places]
        if len(ways) > 2 and not (centres and all(map(math.isnan, edges))):
            drawing.box(edges, kind, score)
        else:
            y, x = [centre[i] for centre in centres] if centres else edges
            drawing.point(y, x, kind, score)
    return drawing.done()


class _Table(NamedTuple):
    """A table, what its columns mean, and which of its rows are of each image it speaks of (None: of one)."""

    frame: pd.DataFrame
    columns: dict[str, str]
    names: Names | None
    rows: Mapping[str, NDArray[np.intp]]


@lru_cache(maxsize=2)
def _looked_through(path: Path, size: int, changed: int) -> _Table:
    """Read a table once, however many of its images are asked for; `size` and `changed` tell it from a new one."""
    frame, _ = read_table(path, bare=True)  # a header alone: no objects
    columns = named(frame, path)
    if "image" not in columns or not len(frame):
        return _Table(frame, columns, None, {})
    found = frame.groupby(_texts(frame, columns["image"]), sort=False).indices
    rows = {str(name): np.asarray(at, np.intp) for name, at in found.items()}
    return _Table(frame, columns, Names(rows), rows)


def named(frame: pd.DataFrame, path: Path) -> dict[str, str]:
    """Find which column means what, by its name."""
    plain = {"".join(sign for sign in str(one).lower() if sign.isalnum()): str(one) for one in frame.columns}
    return {what: next(plain[one] for one in names if one in plain)
            for what, names in NAMES.items() if any(one in plain for one in names)}  # fmt: skip


def places_of(columns: Mapping[str, str]) -> tuple[str, ...]:
    """Give what says where objects are: edges of boxes, a corner and a size, or a point; () where nothing does."""
    own = {what for what, name in columns.items() if what not in SIZE or "image" not in name.lower()}
    return next((ways for ways in ((*BOX,), ("top", "left", *SIZE), ("y", "x")) if own.issuperset(ways)), ())


def _refuse_doubtful(rows: pd.DataFrame, columns: Mapping[str, str], shape: Shape | None, path: Path) -> None:
    """Refuse plain x, y, width and height: of boxes, from a corner or the middle, or of points in an image so large."""
    if any(columns.get(what, "").lower() != what for what in ("x", "y", *SIZE)) or not len(rows):
        return
    sizes = set(zip(*(_numbers(rows, columns[side], path) for side in SIZE), strict=True))
    if shape is None or sizes != {tuple(map(float, shape[-2:]))}:
        raise AnswerError("x, y, width and height may be boxes by their corner or their middle, or points in an image "
                          "of that size", f"{path}, columns: {', '.join(map(str, rows.columns))[:300]}",
                          "rename x and y to left and top if they are the corner, or to x_center and y_center if they "
                          "are the middle (which is then read); or width and height to image_width and image_height")


def _of_image(table: _Table, name: str | None, path: Path) -> pd.DataFrame:
    names, rows = table.names, table.rows
    if names is None:
        return table.frame
    if name is None:
        if len(rows) == 1:
            return table.frame
        raise AnswerError(f"the table speaks of {len(rows)} images", f"{path}, column {table.columns['image']}",
                          f"say which: read(path, image=...), as {names.all[0]}")
    where = f"{path}, column {table.columns['image']}"
    at = names.meant(name, where)
    if at is None:
        plain = PurePosixPath(name.replace("\\", "/")).name
        raise AnswerError(f"the table speaks of no image {plain}", where, nearest(plain, names.all[:1000])[:300]
                          + "; of an image without objects, write a table of its own")
    return table.frame.iloc[rows[names.all[at]]]


def _texts(rows: pd.DataFrame, column: str) -> pd.Series:
    """A column as text, "" where it holds nothing."""
    return rows[column].astype("str").fillna("").str.strip()


def _numbers(rows: pd.DataFrame, column: str, path: Path) -> list[float]:
    plain = pd.to_numeric(rows[column], errors="coerce").astype("float64")
    if plain.notna().all():  # nearly every column, and thousands of tables are read so
        return plain.tolist()
    numbers = pd.to_numeric(typed(rows[column]), errors="coerce").astype("float64")
    empty = _texts(rows, column).str.lower().isin(["", "nan", "na"])
    wrong = numbers.isna() & ~empty
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        raise AnswerError(f"{str(rows[column].iloc[at])[:40]!r} is no number",
                          f"{path}, column {column}, row {int(rows.index[at]) + 2}", "correct it, or remove the row")
    return numbers.tolist()


def _labels_and_classes(rows: pd.DataFrame, columns: Mapping[str, str]) -> tuple[list[str] | None, list[str]]:
    """Give ids and classes: a column `label` of numbers holds ids, one of words classes."""
    column = columns.get("class")
    kinds = _texts(rows, column).tolist() if column else [""] * len(rows)
    if "label" not in rows or not _texts(rows, "label").str.fullmatch(r"\d+").all():
        return None, kinds
    return _texts(rows, "label").tolist(), [""] * len(rows) if column == "label" else kinds


def _of_runs(rows: pd.DataFrame, columns: Mapping[str, str], shape: Shape | None, path: Path) -> Annotation:
    """Draw run lengths of the Data Science Bowl: first pixel and length in turn, down the columns, counted from 1."""
    known: Shape | None = None
    if {"height", "width"} <= set(columns) and len(rows):
        known = tuple(int(_numbers(rows, columns[side], path)[0]) for side in ("height", "width"))
    whole = agreed(known, shape[-2:] if shape else None, str(path))
    height, width = needed(whole, str(path), "run lengths need it")
    drawing = Drawing((height, width), str(path))
    labels, kinds = _labels_and_classes(rows, columns)
    scores = _numbers(rows, columns["score"], path) if "score" in columns else [math.nan] * len(rows)
    for i, (text, kind, score) in enumerate(zip(_texts(rows, columns["runs"]), kinds, scores, strict=True)):
        if text.lower() in ("", "nan", "-1", "1 0"):
            continue  # how images without objects are written
        where = f"{path}, row {int(rows.index[i]) + 2}"
        try:
            numbers = np.array(text.split(), np.int64)
        except (ValueError, OverflowError) as error:
            raise AnswerError(f"{text[:40]!r} are no run lengths", where,
                              "write pairs of first pixel and length, with blanks between them") from error
        start, length = numbers[0::2] - 1, numbers[1::2]
        if len(numbers) % 2 or (start < 0).any() or (length < 1).any() or (start + length > height * width).any():
            raise AnswerError(f"the run lengths do not fit an image of {height} x {width} pixels", where,
                              "they are pairs of first pixel and length, down the columns; is it the right image?")
        drawing.name = labels[i] if labels else None
        drawing.runs(start, length, kind, score)
    return drawing.done()


def write(path: Path, annotation: Annotation) -> Mapping[str, int]:
    """Write the object table; labels as run lengths in its column EncodedPixels."""
    table = annotation.objects.drop(columns="polygon", errors="ignore").copy()
    lost = {}
    if annotation.labels is not None and annotation.labels.ndim == 2 and len(table):
        texts = {label: " ".join(map(str, np.stack([start + 1, length], axis=1).reshape(-1).tolist()))
                 for label, start, length in column_runs(annotation.labels)}  # fmt: skip
        table["EncodedPixels"] = table["label"].map(texts)
        table["Height"], table["Width"] = annotation.labels.shape
    elif annotation.labels is not None or "polygon" in annotation.objects:
        lost["outlines not written, only boxes"] = len(table)
    write_table(table, path, {})
    return lost
