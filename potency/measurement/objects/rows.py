"""Every object of every image of a manifest as a row of a table, written image by image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from potency.answers.files import path_of, read_table
from potency.answers.objecttable import CLASS, LABEL, SCORE
from potency.data import columns, gathering, masks, parts, tables
from potency.errors import AnswerError, ImageError, ManifestError, PotencyError
from potency.measurement.objects.columns import UNITS
from potency.measurement.objects.measure import measure_objects
from potency.measurement.objects.runs import find_objects

if TYPE_CHECKING:
    from potency.data.image import Image
    from potency.data.manifest import Manifest, Row
    from potency.data.pixels import Window

Progress = Callable[[int, int], None]
WHOLE = ("tile.y", "tile.x", "tile.height", "tile.width")
ERROR = "measure.error"
SAID = (CLASS, "class_probability", SCORE)  # of an object, by the model that found it


@dataclass
class Account:
    """What a measurement came to: images read, objects found, images without any, and what went wrong by image."""

    images: int = 0
    objects: int = 0
    empty: int = 0
    wrong: dict[str, str] = field(default_factory=dict)


def measure_rows(
    manifest: Manifest,
    column: str,
    into: str | Path,
    *,
    families: Sequence[str] = ("shape", "intensity"),
    naming: str = "regionprops",
    progress: Progress | None = None,
) -> tuple[Path, Account]:
    """Measure the objects of all images and write one row an object to a Parquet or CSV table, an image at a time.

    Args:
        manifest: the images.
        column: its column of label images, or of any other format of outlines that `potency.data.masks` reads; paths
            are relative to its folder like those of the images.
        into: the table to write, `.parquet`, `.csv` or `.tsv`.
        families: as in `measure_objects`, but not `spatial`.
        naming: as in `measure_objects`; the number of an object in its label image is the column `object` here, since
            a column `label` is a truth.
        progress: called with (images done, images in all).

    A row has what its image has (group, truth, ...; a column of a measured name becomes `<name>@table`), `tile.of` (the
    id of its image), the object's box as a window of the image, so that the table is a manifest of crops, and the
    measurements (um where the pixel size of the image is known, else no number), and what a table `<column>.objects` of
    the model says of it: class, class_probability, score. An image that cannot be measured is
    one row with the reason in `measure.error`.

    Raises:
        ManifestError: no such column, no image that can be measured, a table that cannot be written.
        PlanError: an unknown family or naming.
    """
    column = columns.find_column(manifest.table, column, "objects")
    measured, account = _Measured(manifest, column, families, naming), Account()
    path = Path(into)
    saved = {"origin": dict(manifest.origin), "kinds": dict(manifest.kinds)}
    inherited = measured.inherited(path.parent)
    found = _with_faults(measured, account, progress or (lambda done, of: None))
    return tables.write_pieces((inherited(number, rows) for number, rows in found), path, saved), account


@dataclass
class _Measured:
    """The objects of each row of a manifest; columns in um from the first row on, if any image has a pixel size."""

    manifest: Manifest
    column: str
    families: Sequence[str]
    naming: str

    def __post_init__(self) -> None:
        self.records = self.manifest.records()
        self.um = any(size is not None for size in map(self._size_alone, self.records))
        self.channels: tuple[str, ...] = ()
        self.told: tuple[str, ...] | None = None

    def _size_alone(self, row: Row) -> float | None:
        try:
            return _square(self.manifest.open(row))
        except PotencyError:  # told when it is measured
            return None

    def of(self, row: dict[str, Any]) -> pd.DataFrame:
        """The objects of a row, with their windows in the whole image."""
        image, window = self.manifest.open(row), self.manifest.window(row)
        if pd.isna(row[self.column]):
            raise ImageError(f"the column {self.column} names no label image", f"row '{row['id']}'", "fill it in")
        path = path_of(row[self.column], self.manifest.folder, f"column {self.column}")
        if self.channels and image.channels != self.channels:
            what = f"the image has channels {', '.join(image.channels)}, those before {', '.join(self.channels)}"
            raise ImageError(what, image.name, "measure images of one kind at a time")
        labels = _numbers(path, row, image, window)
        size = _square(image)
        try:
            found = measure_objects(
                labels, image.crop(window), families=self.families, naming=self.naming,
                pixel_size=size or (1.0 if self.um else None), channels=image.channels,
            )  # fmt: skip
            box = find_objects(labels).extents[1]
        except ImageError as error:
            raise ImageError(error.what, str(path), error.mend) from error
        self.channels = image.channels
        if self.um and size is None:
            units = tuple(unit for naming in UNITS.values() for unit in naming)
            found.loc[:, found.columns.str.endswith(units)] = np.nan
        y, x = (0, 0) if window is None else (window["Y"].start, window["X"].start)
        places = np.concatenate([box[:, :2] + [y, x], box[:, 2:] - box[:, :2]], axis=1)
        own = found.rename(columns={str(found.columns[0]): "object"} if self.naming != "cellprofiler" else {})
        return pd.concat([pd.DataFrame(places, columns=list(WHOLE)), own, self._told(row, own.iloc[:, 0])], axis=1)

    def _told(self, row: dict[str, Any], numbers: pd.Series) -> pd.DataFrame:
        """What the answer says of its objects (class, score), in the order of their numbers; as of the first image."""
        cell = row.get(f"{self.column}.objects")
        said = pd.DataFrame(columns=[LABEL])
        if isinstance(cell, str):
            said = read_table(self.manifest.folder / cell)
        if self.told is None:
            self.told = tuple(name for name in SAID if name in said and LABEL in said)
        if not self.told:
            return pd.DataFrame(index=numbers.index)
        own = said.drop_duplicates(LABEL).set_index(LABEL).reindex(index=numbers, columns=list(self.told))
        kinds = {name: "str" if name == CLASS else "float64" for name in self.told}
        return own.set_axis(numbers.index).astype(kinds)

    def inherited(self, place: Path) -> Callable[[int, pd.DataFrame], pd.DataFrame]:
        """A function that puts what its image has before the objects of a row, for a table in that folder."""
        manifest = self.manifest
        names = ["image", *(f"image.{channel}" for channel in manifest.channels), self.column]
        names += [name for name in (f"{self.column}.objects",) if name in manifest.table]
        moved = {name: gathering.moved(manifest.table[name], manifest.folder, place) for name in names}
        table = manifest.table.assign(**moved).drop(columns=[*WHOLE, "tile.of"], errors="ignore")

        def joined(number: int, rows: pd.DataFrame) -> pd.DataFrame:
            own = table.iloc[[number] * len(rows)].reset_index(drop=True)
            own = own.rename(columns={name: f"{name}@table" for name in own if name in rows})
            whole = str(table["id"].iloc[number])
            numbers = rows.iloc[:, len(WHOLE)]
            ids = [whole if pd.isna(each) else f"{whole}#{each}" for each in numbers]
            own = own.assign(id=pd.Series(ids, dtype="str"), **{"tile.of": pd.Series([whole] * len(rows), dtype="str")})
            return pd.concat([own, rows], axis=1)

        return joined


def _numbers(path: Path, row: Row, image: Image, window: Window | None) -> NDArray[Any]:
    """The numbers of the objects of a row: of a label image the pixels of its window, of all else what it draws."""
    plain = masks.numbered(path)
    if plain is not None:
        plain = parts.choose(plain, row)
        if any(plain.sizes.get(axis, 1) > 1 and image.sizes.get(axis, 1) == 1 for axis in "TZ"):
            raise AnswerError("the mask holds several planes or times, the image one", str(path),
                              "save the plane of the image alone, or name the stack as image, with columns z and t")
        return np.asarray(plain.crop(window)[0])
    found = masks.read(path, image=image).labels
    if found is None or found.ndim != 2:
        raise AnswerError("the file holds boxes or points, no outlines" if found is None else
                          "the file holds a volume, not the objects of a plane", str(path),
                          "give files of labels or outlines, a plane each")  # fmt: skip
    return found if window is None else found[window["Y"], window["X"]]


def _square(image: Image) -> float | None:
    """The pixel size where it is known and the same both ways."""
    sizes = image.pixel_size or {}
    y, x = sizes.get("Y"), sizes.get("X")
    return x if x is not None and y is not None and abs(x - y) <= 0.01 * x else None


def _with_faults(measured: _Measured, account: Account, progress: Progress) -> Iterator[tuple[int, pd.DataFrame]]:
    """The objects of each image by its number; an image that fails is a row, from the first that does not fail on."""
    names: pd.Index | None = None
    pending: list[tuple[int, str]] = []
    for number, row in enumerate(measured.records):
        try:
            found = measured.of(row)
        except (AnswerError, ImageError) as error:
            what = f"{error.what} ({error.mend})" if error.mend else error.what
            account.wrong[str(row["id"])] = what
            pending.append((number, what))
        else:
            found[ERROR] = pd.Series([None] * len(found), dtype="str")
            names = found.columns
            account.images, account.objects = account.images + 1, account.objects + len(found)
            account.empty += not len(found)
            yield number, found
        while names is not None and pending:
            at, what = pending.pop(0)
            yield at, pd.DataFrame({ERROR: [what]}).reindex(columns=names)
        progress(number + 1, len(measured.records))
    if names is None:
        first = next(iter(account.wrong.items()))
        raise ManifestError(f"no image could be measured; the first: {first[1]}", first[0], "see the column of labels")
