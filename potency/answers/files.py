"""Answers that are files beside the table: how ours are written, and how those of other programs are read."""

from __future__ import annotations

import hashlib
import io
import math
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame, read_csv, read_parquet

from potency.data.whole import replaced
from potency.errors import AnswerError

if TYPE_CHECKING:
    from potency.data.masks import Annotation
    from potency.data.masks.ngff import Pyramid

IMAGE = "image"  # the part that names the image of a row
LARGE = 2**24  # pixels (4,096 x 4,096): labels of larger images are OME-Zarr, never whole in memory, not TIFF
MAPS = (".tif", ".tiff", ".png", ".npy", ".zarr")  # files that hold a number a pixel
CLASS, SCORE, UNCLASSIFIED = "class", "score", "unclassified"
REGIONPROPS = {
    "y": "centroid-0", "x": "centroid-1", "top": "bbox-0", "left": "bbox-1", "bottom": "bbox-2", "right": "bbox-3",
}  # fmt: skip
PART = ".part.zarr"  # of what is being written
Told = Sequence[Mapping[str, Any]]
Writer = Callable[[io.BytesIO], object]


def path_of(cell: Any, folder: Path, what: str) -> Path:
    """The file (or folder of masks, or OME-Zarr) that a cell names, from the table's folder."""
    if not isinstance(cell, str) or not cell.strip():
        raise AnswerError(f"the cell {cell!r} names no file", what, "write a path from the table's folder")
    path = folder / cell
    if not path.exists():
        raise AnswerError(f"there is no file {cell}", what, f"paths start at {folder}")
    return path


def read_objects(cells: Mapping[str, Any], folder: Path) -> Annotation:
    """What the file of a row says of the objects in its image, in any format that `potency.data.masks` knows.

    The part "image" names the image, if it is there its size is checked, and outlines are drawn to it.
    """
    from potency.data import masks

    image = cells.get(IMAGE)
    known = isinstance(image, str) and bool(image)
    where = folder / str(image) if known else None
    return masks.read(path_of(cells.get(""), folder, "part ''"), image=where)


def read_map(cells: Mapping[str, Any], folder: Path) -> NDArray[Any]:
    """The number of each pixel in the image or array that a row names; colours and outlines are none."""
    path = path_of(cells.get(""), folder, "part ''")
    if path.suffix.lower() not in MAPS:
        raise AnswerError(f"semantic maps are not read from {path.suffix or 'files without a suffix'}", str(path),
                          "write one of " + " ".join(MAPS))  # fmt: skip
    found = read_objects(cells, folder)
    if found.labels is None or found.lost:
        raise AnswerError("the map is in colours, and which class a colour is nobody has said", str(path),
                          "write the number of each pixel's class, in one channel")  # fmt: skip
    return found.labels


def read_part(
    cells: Mapping[str, Any], folder: Path, window: tuple[slice, slice], size: Sequence[int]
) -> NDArray[np.uint32] | None:
    """The numbers in a window (rows, columns) of a plane of labels, (H, W), of which nothing else is read.

    None where the file has no plane of numbers (outlines, colours, a stack). Refused where it is not of `size` (Y, X).
    """
    from potency.data import masks

    path = path_of(cells.get(""), folder, "part ''")
    image = masks.numbered(path)
    if image is None or any(image.sizes[axis] != 1 for axis in image.axes if axis not in "YX"):
        return None
    if (own := (image.sizes["Y"], image.sizes["X"])) != tuple(size):
        raise AnswerError(f"the objects are of {own[0]} x {own[1]} pixels, their image of {size[0]} x {size[1]}",
                          str(path), "give both the same size")  # fmt: skip
    pixels = image[dict(zip("YX", window, strict=True))]
    return masks.whole_labels(pixels.reshape(pixels.shape[-2:]), str(path))[0]


def read_values(path: Path) -> NDArray[np.float32] | None:
    """The broken numbers of a map (H, W), as of a density; None where its pixels are whole numbers (labels)."""
    from potency.data.readers import open_image

    image = open_image(path)
    pixels = image[{}]
    if pixels.dtype.kind != "f":
        return None
    pixels = pixels[0] if pixels.ndim == 3 and len(pixels) == 1 else pixels
    if pixels.ndim != 2 or not np.isfinite(pixels).all():
        raise AnswerError(f"the map has the axes {image.axes}, or values that are no numbers", str(path),
                          "write one finite number a pixel")  # fmt: skip
    return np.asarray(pixels, np.float32)


def told_in(annotation: Annotation) -> DataFrame:
    """The table of an annotation by the names of regionprops; with classes or scores where it has them.

    What has no class among others that do is called unclassified.
    """
    table = annotation.objects.drop(columns="polygon", errors="ignore").rename(columns=REGIONPROPS)
    if len(table):
        bare = [name for name in REGIONPROPS.values() if name in table and table[name].isna().all()]
        bare += [] if table[SCORE].notna().all() else [SCORE]
        bare += [] if (table[CLASS] != "").any() else [CLASS]
        table = table.drop(columns=bare)
    return table.assign(**{CLASS: table[CLASS].replace("", UNCLASSIFIED)}) if CLASS in table else table


def read_table(path: Path) -> DataFrame:
    """A table of objects."""
    reader = TABLES.get(path.suffix.lower())
    if reader is None:
        raise AnswerError(f"tables of objects are not read from {path.suffix or 'files without a suffix'}", str(path),
                          "write one of " + ", ".join(TABLES))  # fmt: skip
    try:
        return reader(path)
    except Exception as fault:  # whatever a broken file does to a decoder
        raise AnswerError(f"the table of objects cannot be read: {fault}", str(path), "write it again") from fault


# What holds a table as we write it, by suffix; the formats of others are the list of `potency.data.masks`.
TABLES: Mapping[str, Callable[[Path], DataFrame]] = {".parquet": read_parquet, ".csv": read_csv}


def write_pixels(pixels: NDArray[Any], folder: Path, name: str) -> str:
    """Write a map as TIFF (zlib), labels as uint16 where their numbers fit, else uint32; gives the path from `folder`.

    Many programs take no other integers. Broken numbers are written as float32.
    """
    import tifffile

    fits: type = np.float32 if pixels.dtype.kind == "f" else np.uint16
    if fits is np.uint16 and pixels.size and int(pixels.max()) > np.iinfo(np.uint16).max:
        fits = np.uint32

    def tiff(file: io.BytesIO) -> None:
        tifffile.imwrite(file, pixels.astype(fits), photometric="minisblack", compression="zlib", metadata=None)

    return _written(tiff, folder, name, ".tif")


def write_table(table: DataFrame, folder: Path, name: str) -> str:
    """Write a table of objects as Parquet; gives the path from `folder`."""
    return _written(lambda file: table.to_parquet(file, index=False), folder, name, ".parquet")


def is_large(canvas: Sequence[int]) -> bool:
    """Whether an image of this size (Y, X) has its labels in OME-Zarr."""
    return math.prod(map(int, canvas)) > LARGE


def write_pyramid(
    fill: Callable[[Pyramid], object], shape: Sequence[int], folder: Path, name: str, told: Told = ()
) -> str:
    """Write labels of any size as OME-Zarr (NGFF 0.4, uint32), as `fill` puts them in; gives the path from `folder`.

    The labels are `labels/objects` in it. Like a file it is named after what is in it, and there whole or not at all.
    `told` are properties of numbers: [{"label-value": 1, "class": "tumour"}].
    """
    from potency.data.masks import ngff

    place = folder / _plain(name)
    part: Path | None = None
    try:
        place.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=place, prefix=".", suffix=PART))
        with ngff.growing(part, tuple(map(int, shape)), told) as pyramid:
            fill(pyramid)
        final = place / f"{pyramid.digest.hexdigest()[:20]}.zarr"
        if not final.exists():
            for path in part.rglob("*"):
                if path.is_file():
                    _to_disk(path)
            os.chmod(part, 0o755)
            os.replace(part, final)
    except OSError as fault:
        raise unwritten(fault, place) from fault
    finally:
        if part is not None:
            shutil.rmtree(part, ignore_errors=True)
    return final.relative_to(folder).as_posix()


def _to_disk(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _plain(name: str) -> str:
    return re.sub(r"[^\w.@-]+", "_", name)


def unwritten(fault: OSError, path: Path) -> AnswerError:
    """Say that an answer cannot be written."""
    return AnswerError(f"an answer cannot be written: {fault.strerror or fault}", str(path),
                       "free some space, or choose a folder that can be written to")  # fmt: skip


def _written(write: Writer, folder: Path, name: str, suffix: str) -> str:
    """Write a file named after what is in it, whole or not at all.

    So no two samples share a file unless they are alike, what a killed run has written is found again by the next,
    and two processes cannot spoil one another's.
    """
    made = io.BytesIO()
    write(made)
    place = Path(_plain(name)) / (hashlib.sha256(made.getvalue()).hexdigest()[:20] + suffix)
    path = folder / place
    if not path.is_file():
        try:
            replaced(path, made.getvalue())
        except OSError as fault:
            raise unwritten(fault, path) from fault
    return place.as_posix()
