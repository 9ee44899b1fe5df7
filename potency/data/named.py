"""Rows of images whose names are known apart from where they lie, as a page takes them: no name or cell is opened."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from potency.data import columns, objectrows, reading, tables, wells
from potency.data.findings import Finding, some
from potency.data.readers import SUFFIXES
from potency.errors import ManifestError

if TYPE_CHECKING:
    from potency.data.manifest import Manifest

PLACE = Path("the images")  # where messages say that names stand
GONE = "not-here"  # the file of a row whose image was not given; nothing of that name is ever stored


@dataclass(frozen=True)
class Told:
    """What a person says of images beside their names.

    Attributes:
        table: where a table lies, and what it is called among the images ("labels.csv").
        labels: of single images by name; they stand above folders, not above a table.
        truth: the column of the table to learn.
        group: a column, a level that names tell (donor, plate ...), or a pattern with a bracket.
        names: a pattern of file names, see `names.recognise`.
    """

    table: tuple[Path, str] | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    truth: str = ""
    group: str = ""
    names: str = ""


def named_rows(files: Mapping[str, str], folder: Path, told: Told | None = None) -> Manifest:
    """The manifest of images by their names: ids are the names, paths are the files below `folder`.

    Labels come from the table or the plate map, else from those given one by one, else from the folders in the names;
    groups as `Manifest.read` finds them. Rows of a table whose image was not given stay, so that `check` names them.

    Args:
        files: what each image is called, with its folders ("G1/a.tif") -> its file below `folder`.
        folder: where the files lie.
        told: labels and columns.

    Raises:
        ManifestError: no images, no such column, a table that matches nothing.

    >>> made = named_rows({"up/G1/a.png": "1.png", "up/G2/b.png": "2.png"}, Path("store"))
    >>> made.table[["id", "image", "truth"]].values.tolist()
    [['G1/a.png', '1.png', 'G1'], ['G2/b.png', '2.png', 'G2']]
    """
    from potency.data.manifest import Manifest

    told = told or Told()
    top = common(list(files))
    short = {name.removeprefix(top): file for name, file in files.items()}
    images = [name for name in short if name.lower().endswith(SUFFIXES)]
    if not images:
        raise ManifestError("there are no images", str(PLACE), "images end in " + ", ".join(sorted(SUFFIXES)))
    rows, asked = _found(images, short, told, top)
    table, kinds, _, origin, noticed = reading.understand(rows, (), told.group or None, asked=asked)
    table, kinds = _truth_files(table, kinds, short)
    stored = {name: table[name].map(lambda cell: short.get(str(cell), GONE)) for name in map(str, table)
              if name == "image" or name.startswith("image.")}  # fmt: skip
    return Manifest(table.assign(**stored), kinds, folder, {**origin, "image": columns.APART}, noticed)


def common(names: Sequence[str]) -> str:
    """The folders above all names that say nothing: a folder that holds every image, as uploads have it.

    >>> common(["up/G1/a.png", "up/G2/b.png"]), common(["up/a.png"]), common(["G1/a.png", "b.png"])
    ('up/', '', '')
    """
    parts, top = [name.split("/")[:-1] for name in names if name.lower().endswith(SUFFIXES)], ""
    while parts and all(len(part) > 1 for part in parts) and len({part[0] for part in parts}) == 1:
        top += parts[0][0] + "/"
        parts = [part[1:] for part in parts]
    return top


def matched(cells: Sequence[str], names: Sequence[str], beside: str = "") -> list[str | None]:
    """For each cell of a table the name it means: as written, from the folder of the table, else by its end.

    An end counts where one name alone has it: "D:\\\\data\\\\G1\\\\a.tif" is "G1/a.tif", "a.tif" too if there is one.

    >>> matched(["a.tif", "D:/x/G1/a.tif", "b.tif", "c"], ["G1/a.tif", "G1/b.tif", "G2/b.tif", "c.png"])
    ['G1/a.tif', 'G1/a.tif', None, 'c.png']
    """
    last: dict[str, list[str]] = defaultdict(list)
    for name in names:
        final = name.rpartition("/")[2].lower()
        for key in {final, _stem(final)}:
            last[key].append(name)
    known = set(names)

    def one(cell: str) -> str | None:
        text = re.sub(r"^(\./)+", "", str(cell).replace("\\", "/"))
        for whole in (text, f"{beside}{text}"):
            if whole in known:
                return whole
        final = text.rpartition("/")[2].lower()
        there = last.get(final) or last.get(_stem(final), [])
        fits = [name for name in there if _ends(name, text)]
        return fits[0] if len(fits) == 1 else None

    return [one(cell) for cell in cells]


def _ends(name: str, text: str) -> bool:
    """Whether one of the two ends in the other, folder by folder."""
    own, said = name.lower().split("/")[-2::-1], text.lower().split("/")[-2::-1]
    return all(a == b for a, b in zip(own, said, strict=False))


def _stem(final: str) -> str:
    end = next((suffix for suffix in sorted(SUFFIXES, key=len, reverse=True) if final.endswith(suffix)), "")
    return final.removesuffix(end)


def _found(images: Sequence[str], files: Mapping[str, str], told: Told, top: str) -> tuple[reading.Rows, bool]:
    """The rows before they are understood, and whether the truth was named."""
    if told.table is None:
        rows = reading.of_names(images, (), told.names, PLACE, apart=True)
        if told.labels:
            given = rows.frame["image"].map({name.removeprefix(top): label for name, label in told.labels.items()})
            given = tables.typed(given.fillna("").astype("str"))
            rows = replace(rows, frame=rows.frame.assign(truth=given.replace("", None)))
            rows.origin["truth"] = "typed"
        return rows, False
    path, called = told.table
    try:
        rows = _of_table(path, called.removeprefix(top), images, files, told.names)
        frame, how = columns.truth_column(rows.frame, told.truth or None, called)
    except ManifestError as error:
        raise ManifestError(error.what, error.where.replace(str(path), called), error.mend) from None
    rows.origin["truth"] = how
    return replace(rows, frame=frame), bool(told.truth)


def _of_table(path: Path, called: str, images: Sequence[str], files: Mapping[str, str], pattern: str) -> reading.Rows:
    """The rows of a table of images, or the images with what a plate map says of their wells."""
    frame, _ = tables.read_table(path)  # what a program saved with it is not believed: it names kinds of files
    own = columns.image_alias(frame) or any(str(name).startswith("image.") for name in frame.columns)
    if not own and _is_map(frame):
        rows = reading.of_names(images, (), pattern, PLACE, apart=True)
        frame, rows.origin["plate map"], found = wells.join_map(rows.frame.drop(columns="truth", errors="ignore"), path)
        return replace(rows, frame=frame, noticed=rows.noticed + found)
    beside, lost = called.rpartition("/")[0], 0
    naming = "" if own else _naming(frame, list(files), f"{beside}/" if beside else "")
    frame, _ = columns.image_columns(frame.rename(columns={naming: "image"}), (), called)
    for column in [name for name in map(str, frame.columns) if name == "image" or name.startswith("image.")]:
        cells = frame[column].astype("str")
        meant = matched(cells.tolist(), list(files), f"{beside}/" if beside else "")
        lost = sum(name is None for name in meant) if column == "image" else lost
        frame[column] = [name or cell for name, cell in zip(meant, cells, strict=True)]
    if lost == len(frame):
        raise ManifestError(f"none of the {lost} rows of the table names an image that is here",
                            f"{called}: {some(frame['image'].astype('str').tolist(), 2)}; here: {some(images, 2)}",
                            "bring the images that it names, or choose the column of file names by calling it image")
    rest = sorted(set(images) - set(frame["image"]))
    noticed = (Finding("not-in-table", f"{len(rest)} images are not in the table and are left out", called,
                       f"add a row for each, if they belong to it: {some(rest, 3)}", tuple(rest)),) if rest else ()
    rows = reading.Rows(frame, PLACE, {"source": f"table {called}"}, parse=path.suffix.lower() != ".parquet",
                        noticed=noticed, apart=True)  # fmt: skip
    return reading.with_names(rows, pattern) if pattern else rows


def _naming(frame: pd.DataFrame, names: Sequence[str], beside: str) -> str:
    """The column whose cells name images that are here, each another one; "" where none does."""
    for column in objectrows.worded(frame):
        cells = frame[column].astype("str")
        here = [name is not None for name in matched(cells.tolist(), names, beside)]
        if cells.is_unique and sum(here) >= objectrows.FEWEST * len(here) > 0:
            return column
    return ""


def _is_map(frame: pd.DataFrame) -> bool:
    names = {columns.plain(str(name)) for name in frame.columns}
    letters = frame.iloc[:, 0].astype("str").str.strip().str.fullmatch("[A-Za-z]|A[A-F]")
    return bool(names & set(wells.WELL)) or {"row", "column"} <= names or bool(letters.all())


def _truth_files(table: pd.DataFrame, kinds: dict[str, str],
                 files: Mapping[str, str]) -> tuple[pd.DataFrame, dict[str, str]]:
    """Truths that are files (masks) become those given under these names; of other columns no cell is a file."""
    kinds = {name: kind for name, kind in kinds.items() if name == "truth" or kind not in columns.FILES}
    if kinds.get("truth") not in columns.FILES:
        return table, kinds
    cells = table["truth"].dropna().astype("str")
    meant: dict[str, Any] = dict(zip(cells, matched(cells.tolist(), list(files)), strict=True))
    gone = [cell for cell, name in meant.items() if name is None]
    if gone:
        raise ManifestError(f"{len(gone)} files of the truth are missing: {some(gone)}", "column 'truth'",
                            "bring them together with the images, or name another column")
    parts = [name for name in table.columns if str(name).startswith("truth.")]  # may be paths, too
    stored = [None if pd.isna(cell) else files[meant[str(cell)]] for cell in table["truth"]]
    return table.drop(columns=parts).assign(truth=pd.Series(stored, index=table.index, dtype="str")), kinds
