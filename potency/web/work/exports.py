"""The files of a measurement for people and for other programs: tables, label images, outlines."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from potency.errors import AnswerError
from potency.web.work.kind import Order

if TYPE_CHECKING:
    import pandas as pd

    from potency.data.masks import Annotation
    from potency.web.work.measuring import Cells

FOLDER = "downloads"


@dataclass(frozen=True)
class Export:
    """One kind of download: the name of its archive, what it is for people, what a file in it is called."""

    archive: str
    title: str
    hint: str
    end: str
    outlines: bool = False  # else the labels themselves, which a large image has too


EXPORTS = (
    Export("labels-tiff.zip", "Label images, TIFF", "each pixel holds the number of its cell", ".tif"),
    Export("labels-png.zip", "Label images, PNG", "16 bits, up to 65,535 cells", ".png"),
    Export("cellpose.zip", "Cellpose", "put them beside the images: NAME_masks.tif", "_masks.tif"),
    Export("imagej.zip", "ImageJ and Fiji", "open each NAME_rois.zip with the ROI Manager", "_rois.zip", True),
    Export("qupath.zip", "QuPath", "drop a .geojson on its image; measurements come along", ".geojson", True),
    Export("coco.zip", "COCO", "run lengths, boxes, areas", ".json", True),
)


def exported(order: Order, found: list[Cells], objects: pd.DataFrame) -> list[dict[str, Any]]:
    """Write all downloads; for each its path in the folder of the job, title, hint and size, and what it lacks."""
    from potency.data.tables import write_table

    folder = order.folder / FOLDER
    folder.mkdir(exist_ok=True)
    table = objects.drop(columns=["tile.of", "group"])
    made = [_told(write_table(table, folder / f"cells{end}", {}), title, hint) for end, title, hint in (
        (".csv", "Table, CSV", "every cell, every measurement; for Excel, R, Prism"),
        (".parquet", "Table, Parquet", "the same, for Python and R"))]  # fmt: skip
    good = [cells for cells in found if cells.labels]
    if not good:
        return made
    names = unique([cells.file.name for cells in good])
    with _Archives(folder) as archives:
        for place, (cells, name) in enumerate(zip(good, names, strict=True)):
            order.progress(place, len(good), "writing downloads")
            archives.add(order.folder, cells, name, objects)
    return made + [_told(folder / one.archive, one.title, archives.hint(one)) for one in EXPORTS
                   if archives.files[one.archive]]  # fmt: skip


class _Archives:
    """The archives while they grow; at the end they take their names all at once."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.lacking = folder, dict.fromkeys((one.archive for one in EXPORTS), 0)
        self.files = dict(self.lacking)
        self.parts = {one.archive: folder / f".{one.archive}" for one in EXPORTS}

    def __enter__(self) -> _Archives:
        self.open = {name: zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
                     for name, part in self.parts.items()}  # fmt: skip
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        for name, archive in self.open.items():
            archive.close()
            if kind is None and self.files[name]:
                self.parts[name].replace(self.folder / name)
            self.parts[name].unlink(missing_ok=True)

    def add(self, folder: Path, cells: Cells, name: str, objects: pd.DataFrame) -> None:
        """One image to every archive that can hold it."""
        from potency.data import masks
        from potency.data.readers import open_image

        place = folder / cells.labels
        if cells.large:
            for path, inside in _files(place, name):
                self.open["labels-tiff.zip"].write(path, inside, zipfile.ZIP_STORED)
            self.files["labels-tiff.zip"] += 1
            for one in EXPORTS[1:]:
                self.lacking[one.archive] += 1
            return
        labels: NDArray[np.uint32] = open_image(place)[{}].astype(np.uint32)
        annotation = described(masks.of_labels(labels), objects[objects["tile.of"] == cells.file.id])
        part = {axis: at for axis, at in (("z", cells.z), ("t", cells.t)) if at is not None}
        annotation = replace(annotation, part=part)
        temporary = self.folder / ".part"
        shutil.rmtree(temporary, ignore_errors=True)  # of a worker that was killed
        temporary.mkdir()
        for one in EXPORTS:
            path = temporary / (PurePosixPath(name).name + one.end)
            format = "coco" if one.end == ".json" else None
            try:
                masks.write(path, annotation, format=format)
            except AnswerError:  # a PNG that cannot hold as many numbers
                self.lacking[one.archive] += 1
                continue
            self.open[one.archive].write(path, name + one.end)
            self.files[one.archive] += 1
            path.unlink()
        temporary.rmdir()

    def hint(self, one: Export) -> str:
        """What an archive is, and for how many images it could not be made."""
        lacking = self.lacking[one.archive]
        return one.hint + (f"; not of {lacking} large {'image' if lacking == 1 else 'images'}" if lacking else "")


def described(annotation: Annotation, own: pd.DataFrame) -> Annotation:
    """An annotation with the class and score of each object, and its measurements as further columns."""
    table = annotation.objects
    rows = own.drop_duplicates("object").set_index("object").reindex(table["label"].to_numpy())
    known: dict[str, Callable[[Any], Any]] = {"class": lambda cells: cells.fillna("").astype("str"),
                                              "score": lambda cells: cells.astype("float64")}  # fmt: skip
    said = {name: fix(rows[name]).to_numpy() for name, fix in known.items() if name in rows}
    measured = [name for name in rows if name not in ("tile.of", "image", "group", *table, *known)]
    numbers = rows[measured].select_dtypes("number").set_axis(table.index)
    return replace(annotation, objects=table.assign(**said).join(numbers))


def unique(names: list[str]) -> list[str]:
    """Names of images without their suffix, no two alike.

    >>> unique(["G1/a.ome.tif", "b.png", "b.jpg"])
    ['G1/a', 'b', 'b (2)']
    """
    from potency.data.readers import SUFFIXES

    found: list[str] = []
    for name in names:
        end = next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), "")
        short = (name[: len(name) - len(end)].removesuffix(".ome") or "image").strip("/")
        count = sum(other == short or other.startswith(f"{short} (") for other in found)
        found.append(f"{short} ({count + 1})" if count else short)
    return found


def _files(place: Path, name: str) -> Iterator[tuple[Path, str]]:
    if place.is_file():
        yield place, f"{name}{place.suffix}"
        return
    for path in sorted(place.rglob("*")):
        if path.is_file():
            yield path, f"{name}.zarr/{path.relative_to(place).as_posix()}"


def _told(path: Path, title: str, hint: str) -> dict[str, Any]:
    return {"path": f"{FOLDER}/{path.name}", "title": title, "hint": hint, "bytes": path.stat().st_size}
