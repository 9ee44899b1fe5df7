"""The table of samples: one row an image with its group, truth and split; manifest in, manifest out."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from potency.data import columns, folders, gathering, parts, quality, reading, several, split, tables
from potency.data.check import check_table
from potency.data.findings import Finding, Findings
from potency.data.groups import UNKNOWN
from potency.data.readers import open_image
from potency.errors import ImageError, ManifestError, nearest

if TYPE_CHECKING:
    from potency.data.image import Image

Row = Mapping[str, Any] | pd.Series


@dataclass(frozen=True, eq=False)
class Manifest:
    """One row a sample: `id`, `image` (path relative to `folder`), `group`, and `truth`, `split`, `fold` where known.

    Args:
        table: the rows. Channels in separate files stand in `image.<channel>`, in channel order.
        kinds: which kind of answer a column holds, `{"truth": "category"}`, or that it names files ("file", "picture").
        folder: where relative paths start.
        origin: how the table was understood, for people: `origin["group"]` is "column 'group'", "inferred from ..."
            or "unknown".
    """

    table: pd.DataFrame
    kinds: Mapping[str, str] = field(default_factory=dict)
    folder: Path = Path()
    origin: Mapping[str, str] = field(default_factory=dict)
    noticed: tuple[Finding, ...] = ()  # while reading; `check` shows it

    @classmethod
    def read(cls, source: str | Path, *, truth: str | None = None, group: str | None = None,
             channels: Sequence[str] = (), classes: Sequence[str] = (), confined: bool = False,
             names: str = "", plate_map: str | Path | None = None) -> Manifest:
        """Read a folder (by the table it holds, else by file names and a folder per class), a table file or an image.

        Args:
            source: folder, or CSV, TSV, Parquet or Excel file.
            truth: the column to learn; by default `truth`, `label`, `class` or `target`.
            group: the column of what belongs together, or a regular expression with one bracket for the paths;
                by default `group`, else inferred from columns and names, else every image is its own group.
            channels: names of columns, of parallel folders, or of channels in file names, that hold one channel each.
            classes: keep the rows of these classes only, in this order.
            confined: refuse paths that leave the folder (for tables that came from somebody else).
            names: a pattern of `names.PATTERNS` or a regular expression with named groups for the file names; by
                default recognised in folders, and left alone in tables; "none" for none.
            plate_map: a table of wells, joined on `well` (and `plate`), that gives the truth and other columns.

        Raises:
            ManifestError: no images, no such column or class, a damaged table.
        """
        layout = None if plate_map is None else Path(plate_map)
        rows = reading.read_rows(Path(source).expanduser(), truth, channels, names, layout)
        made = cls(*reading.understand(rows, channels, group, asked=truth is not None))
        if confined:
            reading.confine(made.folder, made.table[list(made.files)])
        return made.keep(classes) if classes else made

    @classmethod
    def of_rows(cls, table: pd.DataFrame, folder: str | Path = ".", kinds: Mapping[str, str] | None = None,
                origin: Mapping[str, str] | None = None) -> Manifest:
        """A manifest of rows made by a program; `id`, `group` and the kind of truth are added where missing.

        >>> made = Manifest.of_rows(pd.DataFrame({"image": ["a.png", "b.png"], "truth": ["x", "y"]}))
        >>> made.table["group"].tolist(), made.kinds["truth"], made.groups_known
        (['a.png', 'b.png'], 'category', False)
        """
        frame, how = columns.image_columns(table, (), "the rows")
        rows = reading.Rows(frame, Path(folder), {"source": "rows", "image": how, "truth": "column 'truth'"})
        made = cls(*reading.understand(rows, (), None))
        return replace(made, kinds={**made.kinds, **(kinds or {})}, origin={**made.origin, **(origin or {})})

    def __len__(self) -> int:
        return len(self.table)

    @property
    def groups_known(self) -> bool:
        """False where every image stands as its own group."""
        return self.origin.get("group", UNKNOWN) != UNKNOWN

    @cached_property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels kept in separate files; empty where one file holds all."""
        return tuple(str(name).removeprefix("image.") for name in self.table.columns if str(name).startswith("image."))

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of the truth, in the order asked for when reading, else in natural order."""
        if "truth" not in self.table.columns:
            return ()
        present = sorted(several.classes_of(self.table["truth"], self.kinds.get("truth", "")), key=folders.natural)
        asked: list[str] = json.loads(self.origin.get("classes", "[]"))
        return tuple([name for name in asked if name in present] + [name for name in present if name not in asked])

    def keep(self, classes: Sequence[str]) -> Manifest:
        """Only the rows of these classes.

        Raises:
            ManifestError: an unknown class; the nearest is named.
        """
        for name in classes:
            if name not in self.classes:
                raise ManifestError(f"there is no class '{name}'", f"{self.folder}, truth: {self.origin.get('truth')}",
                                    nearest(name, self.classes))
        kept = self.where(several.held(self.table["truth"], self.kinds["truth"], classes))
        return replace(kept, origin={**self.origin, "classes": json.dumps(list(classes))})

    def paths(self, row: Row) -> dict[str, Path]:
        """The files of a row by channel name; one file without channels has the name ""."""
        return {name: Path(path) for name, path in self._files(row).items()}

    def _files(self, row: Row) -> dict[str, str]:  # crops come by the thousand, and a Path costs as much as an open
        columns = {name: f"image.{name}" for name in self.channels} or {"": "image"}
        return {name: os.path.join(self._start, str(row[column])) for name, column in columns.items()}

    @cached_property
    def _start(self) -> str:
        return str(self.folder)

    def window(self, row: Row) -> dict[str, slice] | None:
        """The part of its image that a row is, by axis letter; None where it is the whole."""
        if "tile.y" not in self.table.columns:
            return None
        try:
            y, x, height, width = (int(row[f"tile.{name}"]) for name in ("y", "x", "height", "width"))
        except (KeyError, TypeError, ValueError):
            raise ImageError("the window of the row is not four whole numbers", f"row '{row['id']}'",
                             "fill in tile.y, tile.x, tile.height and tile.width, or remove these columns") from None
        return {"Y": slice(y, y + height), "X": slice(x, x + width)}

    def records(self) -> list[dict[str, Any]]:
        """The rows as plain mappings."""
        cells = self.table.to_dict("list")  # row by row pandas takes text out of Arrow one cell at a time
        names = [str(name) for name in cells]
        return [dict(zip(names, row, strict=True)) for row in zip(*cells.values(), strict=True)]

    def open(self, row: Row) -> Image:
        """The lazy image of a row: its channel files put together, the part of it that the row names (see `parts`).

        Raises:
            ImageError: a file is missing or damaged, or holds no such series, time point or plane.
        """
        files = self._files(row)
        series = parts.number(row, "series", str(row["image"])) or 0
        return parts.choose(open_image(files if self.channels else files[""], series=series), row)

    def check(self, pixels: bool = True, duplicates: bool = True,
              progress: Callable[[int, int], object] | None = None) -> Findings:
        """All faults and warnings at once; never raises.

        Args:
            pixels: read every image (contents, sizes, types) and truth in files; else only look whether they exist.
            duplicates: look for near-duplicates too (needs `pixels`).
            progress: called with (images read, images in all).
        """
        return check_table(self, pixels=pixels, duplicates=duplicates, progress=progress)

    def refuse_faults(self, pixels: bool = True, ignore: Collection[str] = ()) -> None:
        """Raise one ManifestError that names all faults, if there are any but those whose code is in `ignore`."""
        self.check(pixels=pixels, duplicates=False).refuse(str(self.folder), ignore)

    def split(self, by: str = "group", folds: int = 5, seed: int = 0, kind: str = "stratified") -> Manifest:
        """The manifest with a column `fold`; whole groups stay together unless `kind` is "random".

        Kinds: stratified (every class in every fold where the groups allow it), leave-one-out (a fold a group), time
        (each fold is later than what it is learned from), external (as stratified; needs rows marked external),
        random (single images). Rows whose `split` is external have fold -1 and are never touched.

        Raises:
            ManifestError: no such column or kind, one group, a class with fewer than two groups.
        """
        if kind not in split.KINDS:
            raise ManifestError(f"there is no split '{kind}'", "split(kind=...)", nearest(kind, split.KINDS))
        column = columns.find_column(self.table, by, "split(by=...)")
        rows = split.balanced(self.table, self.kinds)
        fold, note = split.make_folds(rows, self.table[column].astype("str"), folds, seed, kind)
        note += "" if self.groups_known or by != "group" else "; groups unknown: every image is its own"
        origin = {**self.origin, "split": note, "split_kind": kind, "split_by": column}
        return replace(self, table=self.table.assign(fold=fold), origin=origin)

    def fold(self, k: int, validation: float = 0.2, seed: int = 0) -> Manifest:
        """The manifest with a column `split`: test is fold k, a part of the rest in whole groups is for validation.

        In a split in time the rows later than fold k are left out.

        Raises:
            ManifestError: not split yet, or no such fold.
        """
        kind, rows = self.origin.get("split_kind", "stratified"), split.balanced(self.table, self.kinds)
        by = "" if kind == "random" else self.origin.get("split_by", "group")
        table = split.make_parts(rows, k, validation, seed, by=by, in_time=kind == "time")
        return replace(self, table=table, origin={**self.origin, "fold": str(k)})

    def of(self, *splits: str) -> Manifest:
        """Only the rows of these splits: `train`, `validation`, `test`, `external`.

        Raises:
            ManifestError: the rows are not divided yet.
        """
        if "split" not in self.table.columns:
            raise ManifestError("the rows are not divided into train, validation and test", str(self.folder),
                                "call split() and fold(k), or add a column split")
        return self.where(self.table["split"].isin(list(splits)))

    def where(self, mask: pd.Series | Sequence[bool] | Callable[[pd.DataFrame], Any]) -> Manifest:
        """Only the rows where the mask is true."""
        chosen = pd.Series(mask(self.table) if callable(mask) else mask).to_numpy(dtype=bool)
        return replace(self, table=self.table[chosen].reset_index(drop=True))

    def add(self, new: pd.DataFrame | Mapping[str, Any], kind: str | Mapping[str, str] | None = None) -> Manifest:
        """The manifest with more columns, in the order of the rows or joined by `id` where the new ones have it.

        Args:
            new: columns of the same length, or a frame with `id` (rows without a match are missing there).
            kind: the kind of answer they hold, of the first main column or by name.
        """
        frame = pd.DataFrame(new)
        main = next((str(name) for name in frame.columns if name != "id"), "")
        named = {main: kind} if isinstance(kind, str) else dict(kind or {})
        return replace(self, table=gathering.add_columns(self.table, frame), kinds={**self.kinds, **named})

    def explode(self, tiles: Callable[[Image], Iterable[tuple[int, int, int, int]]]) -> Manifest:
        """One row a tile: `tiles(image)` gives (y, x, height, width) in pixels; all other columns are inherited.

        The id of the whole is kept in `tile.of`, the window in `tile.y`, `tile.x`, `tile.height`, `tile.width`.
        """
        boxes = (tiles(self.open(row)) for row in self.records())
        return replace(self, table=gathering.explode(self.table, boxes))

    def each(self, column: str) -> Manifest:
        """One row a time point (`t`), plane (`z`) or image (`series`) of each file; other columns are inherited.

        Rows that name one already, and files that hold one only, stay as they are. Groups are inherited too, so that
        what lies in one file is not torn apart.

        Raises:
            ManifestError: another column.
        """
        if column not in parts.COUNTED:
            raise ManifestError(f"'{column}' does not count what a file holds", "each(column)",
                                nearest(column, parts.COUNTED))
        counts = [parts.unchosen(self.open(row)).get(column, 1) if parts.number(row, column) is None else 1
                  for row in self.records()]
        return replace(self, table=gathering.repeat(self.table, column, counts))

    def gather(self, by: str = "tile.of",
               how: str | Callable[[pd.DataFrame], Mapping[str, Any]] = "mean") -> Manifest:
        """One row a value of `by`, the inverse of `explode`; predictions are put together by `how`.

        Args:
            by: a column (`tile.of`, `well`, `donor` ...) whose rows are one sample.
            how: "mean" of probabilities and numbers, "majority" of the predicted classes, or a function of the
                frame of one sample to its columns.

        Raises:
            ManifestError: rows of one sample have different truths.
        """
        by = columns.find_column(self.table, by, "gather(by=...)")
        return replace(self, table=gathering.gather(self.table, by, how))

    @cached_property
    def digests(self) -> list[str]:
        """SHA-256 of the files of each row."""
        return [quality.digest(tuple(self.paths(row).values())) for row in self.records()]

    def fingerprint(self) -> str:
        """SHA-256 of the contents of the files with their truths and groups; names and order of rows do not count."""
        return quality.fingerprint(self.table, self.digests, self.files, self.folder)

    @property
    def files(self) -> tuple[str, ...]:
        """The columns that name files: images, and those of a kind that says so ("file", "picture", "labels" ...)."""
        named = {name for name, kind in self.kinds.items() if kind in columns.FILES}
        named |= {f"{name}.objects" for name in named}  # the table that stands with a label image
        return ("image", *(f"image.{c}" for c in self.channels), *(n for n in map(str, self.table) if n in named))

    def placed(self, folder: str | Path) -> Manifest:
        """The same rows as a table in `folder`: every relative path follows, whatever column it stands in."""
        moved = {name: gathering.moved(self.table[name], self.folder, Path(folder)) for name in self.files}
        return replace(self, table=self.table.assign(**moved), folder=Path(folder))

    def write(self, path: str | Path) -> Path:
        """Write the table; Parquet keeps kinds and origin, CSV is safe for spreadsheets; paths follow the new place."""
        table, note = self.placed(Path(path).parent).table, {"kinds": dict(self.kinds), "origin": dict(self.origin)}
        return tables.write_table(table, Path(path), note)
