"""The labels that a model gave: as large as their image, without what was not wanted, and measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from potency.errors import AnswerError, ImageError, ManifestError
from potency.web.middle import part_of
from potency.web.sets import File
from potency.web.work.kind import Order

if TYPE_CHECKING:
    import pandas as pd

    from potency.data.manifest import Manifest
    from potency.web.work.cells import Options

WHOLE = 2**26  # pixels of an image whose labels are held in memory whole; of larger ones only areas are told
FAMILIES = ("shape", "intensity")
OURS = ("tile.of", "image", "object")  # columns that stand first, whatever was measured
SAID = ("label", "area", "centroid-0", "centroid-1", "bbox-0", "bbox-1", "bbox-2", "bbox-3", "class", "score")


@dataclass
class Cells:
    """What was found in one image.

    Attributes:
        answer, table: the label image and the table of its objects, as the model gave them.
        labels: the label image that is shown and given out, from the folder of the job; "" where there is none.
        large: too large to be held in memory whole.
    """

    file: File
    note: str = ""
    t: int | None = None
    z: int | None = None
    answer: Path | None = None
    table: Path | None = None
    labels: str = ""
    count: int = 0
    large: bool = False
    um: float | None = None
    shape: tuple[int, int] = (0, 0)
    error: str = ""
    mend: str = ""
    notes: list[str] = field(default_factory=list)

    def told(self, objects: pd.DataFrame) -> dict[str, Any]:
        """What the page says of the image."""
        facts: dict[str, Any] = {"file": self.file.id, "name": self.file.name}
        if self.error:
            return {**facts, "error": self.error, "mend": self.mend}
        from potency.pictures.found import size_column

        own = objects[objects["tile.of"] == self.file.id]
        name = size_column(own) if len(own) else ""
        notes = [self.note, *self.notes, part_of(self.file)]
        area = self.shape[0] * self.shape[1] * (self.um or 0) ** 2 / 1e6
        return {
            **facts, "count": self.count, "density": self.count / area if area else None,
            "size": float(own[name].median()) if name else None, "unit": "µm" if name.endswith("_um") else "px",
            "notes": list(filter(None, notes)),
        }  # fmt: skip


def settled(folder: Path, manifest: Manifest, cells: Cells, options: Options) -> None:
    """Bring the labels of an image to its size, take out what is too small or cut, and number the rest anew."""
    from potency.data import masks
    from potency.data.readers import open_image

    if cells.answer is None:
        return
    row = next(row for row in manifest.records() if row["id"] == cells.file.id)
    image = manifest.open(row)
    size = image.pixel_size
    cells.um, cells.shape = (size["X"] if size else None), (image.sizes["Y"], image.sizes["X"])
    inside = masks.ngff.labels_in(cells.answer) if cells.answer.suffix == ".zarr" else cells.answer
    there = open_image(inside)
    same = (there.sizes["Y"], there.sizes["X"]) == cells.shape
    if math.prod(cells.shape) > WHOLE:
        if not same:
            cells.error = "the image is too large to be searched at another scale"
            cells.mend = "leave the diameter empty, or bring the image at a coarser pixel size"
            return
        cells.large, cells.labels = True, cells.answer.relative_to(folder.resolve()).as_posix()
        if options.smallest or options.whole:
            cells.notes.append("too large to leave out small or cut cells")
        return
    try:
        labels = there[{}].reshape(there.sizes["Y"], there.sizes["X"])
        labels = labels if same else as_large(labels, cells.shape)
        least = math.pi / 4 * options.pixels(options.smallest, cells.file) ** 2
        labels, cells.count = kept(labels, least, options.whole)
    except (AnswerError, ImageError) as error:
        cells.error, cells.mend = error.what, error.mend
        return
    cells.labels = f"labels/{cells.file.id}.tif"
    masks.write(folder / cells.labels, masks.of_labels(labels))


def as_large(labels: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """Labels at another size; each pixel takes the nearest.

    >>> as_large(np.array([[1, 2]]), (2, 4)).tolist()
    [[1, 1, 2, 2], [1, 1, 2, 2]]
    """
    rows, columns = (((np.arange(n) + 0.5) * side / n).astype(int) for n, side in zip(shape, labels.shape, strict=True))
    return np.asarray(labels[rows[:, None], columns])


def kept(labels: NDArray[Any], least: float, whole: bool) -> tuple[NDArray[np.uint32], int]:
    """Labels without those of fewer pixels than `least`, and those that touch the edge where `whole`; and how many.

    >>> labels, count = kept(np.array([[7, 7, 0], [0, 0, 9], [4, 4, 4]]), 2, False)
    >>> labels.tolist(), count
    ([[2, 2, 0], [0, 0, 0], [1, 1, 1]], 2)
    """
    numbers, at = np.unique(labels, return_inverse=True)
    good = np.bincount(at.ravel(), minlength=len(numbers)) >= least
    if whole:
        edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
        good &= ~np.isin(numbers, edge)
    good &= numbers != 0
    new = np.where(good, np.cumsum(good), 0).astype(np.uint32)
    return new[at].reshape(labels.shape), int(good.sum())


def measured(order: Order, manifest: Manifest, found: list[Cells]) -> pd.DataFrame:
    """The objects of all images as one table, kept as `objects.parquet`: shape and intensity, in um where it is known.

    Images are measured together with those of the same channels. A row has `tile.of` (the file), `image` (its name) and
    `object`.
    """
    import pandas as pd

    from potency.data.tables import write_table
    from potency.measurement.objects.rows import measure_rows

    alike: dict[tuple[str, ...], list[Cells]] = {}
    for cells in found:
        if cells.labels and not cells.large:
            alike.setdefault(tuple(map(str, cells.file.facts.get("channels") or ())), []).append(cells)
    parts, done, of = [_large(cells) for cells in found if cells.large], 0, sum(map(len, alike.values()))
    for number, some in enumerate(alike.values()):
        where = {cells.file.id: str((order.folder / cells.labels).resolve()) for cells in some}
        rows = manifest.where(manifest.table["id"].isin(list(where)))
        rows = rows.add({"labels": [where[str(id)] for id in rows.table["id"]]}, "labels")
        rows = replace(rows, table=rows.table.drop(columns="c", errors="ignore"))  # measured in all channels

        def progress(now: int, _: int, before: int = done) -> None:
            order.progress(before + now, of, "measuring")

        try:
            path, account = measure_rows(rows, "labels", order.folder / "measured" / f"{number}.parquet",
                                         families=FAMILIES, progress=progress)  # fmt: skip
        except ManifestError as error:
            for cells in some:
                cells.error, cells.mend, cells.labels = error.what, error.mend, ""
            continue
        done += len(some)
        for cells in some:
            if cells.file.id in account.wrong:
                cells.error, cells.labels = account.wrong[cells.file.id], ""
        parts.append(pd.read_parquet(path))  # without rows where there is no cell
    names = {cells.file.id: cells.file.name for cells in found}
    parts = [part for part in parts if len(part)]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["tile.of", "object", "group"])
    table = table[table["object"].notna()]
    table = table.assign(image=table["tile.of"].map(names), object=table["object"].astype("int64"),
                         group=table["tile.of"])  # fmt: skip
    more = [name for name in table if name not in (*OURS, "group", "id", "labels", "c", "t", "z", "pixel_size",
                                                   "measure.error") and not str(name).startswith("tile.")]  # fmt: skip
    more = [name for name in more if table[name].notna().any()]
    table = table[[*OURS, "group", *more]].reset_index(drop=True)
    write_table(table, order.folder / "objects.parquet", {})
    return table


def _large(cells: Cells) -> pd.DataFrame:
    """What the model's own table says of the cells of a large image: places and areas."""
    import pandas as pd

    if cells.table is None:
        return pd.DataFrame(columns=["tile.of", "object"])
    own = pd.read_parquet(cells.table)
    cells.count = len(own)
    own = own[[name for name in SAID if name in own]].rename(columns={"label": "object"})
    made: Mapping[str, Any] = {"equivalent_diameter_area": np.sqrt(own["area"] * 4 / math.pi)}
    if cells.um:
        made = {**made, "area_um2": own["area"] * cells.um**2,
                "equivalent_diameter_area_um": made["equivalent_diameter_area"] * cells.um}  # fmt: skip
    cells.notes.append("so large that only areas are measured")
    return own.assign(**made, **{"tile.of": cells.file.id})
