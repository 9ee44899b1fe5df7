"""Turns a folder or a table file into the rows of a manifest, and says how it was understood."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from potency.data import beside, columns, folders, names, objectrows, tables, wells
from potency.data.findings import Finding, some
from potency.data.groups import UNKNOWN, settle_groups
from potency.data.parts import CHANNEL, COUNTED
from potency.data.readers import SUFFIXES, plate_rows
from potency.errors import ManifestError


@dataclass(frozen=True)
class Rows:
    """Rows as they were found: `saved` is what a manifest wrote with them, `parse` that all cells are text."""

    frame: pd.DataFrame
    folder: Path
    origin: dict[str, str]
    saved: Mapping[str, Any] = field(default_factory=dict)
    parse: bool = False
    noticed: tuple[Finding, ...] = ()
    apart: bool = False  # images are called so and lie elsewhere: no cell is looked up on the disk


def read_rows(source: Path, truth: str | None, channels: Sequence[str], pattern: str = "",
              plate_map: Path | None = None) -> Rows:
    """The rows of a table, of the table in a folder, of the images below a folder, or of one image file.

    Raises:
        ManifestError: nothing there, or nothing that can be understood.
    """
    if not source.exists():
        raise ManifestError("there is no such file or folder", str(source), "check the path")
    plate_map = plate_map and plate_map.expanduser()
    if plate_map and not plate_map.is_file():
        raise ManifestError("there is no such plate map", str(plate_map), "check the path")
    single = source.name.lower().endswith(SUFFIXES)
    path = None if single else source if source.is_file() else folders.find_table(source, plate_map)
    if path is None:
        rows = _of_folder(source.parent, [source.name], channels, pattern) if single else _of_folder(
            source, folders.images_below(source, (*SUFFIXES, *beside.KNOWN)), channels, pattern)
    else:
        frame, saved = tables.read_table(path)
        frame, said = (frame, {}) if saved or channels else objectrows.one_an_image(frame, path, truth)
        frame, image = columns.image_columns(frame, channels, str(path))
        rows = Rows(frame, path.parent, {"source": f"table {path.name}", "image": image, **said}, saved,
                    parse=path.suffix.lower() != ".parquet")
        rows = with_names(rows, pattern) if pattern else rows
    if plate_map is not None:
        frame, rows.origin["plate map"], found = wells.join_map(rows.frame, plate_map)
        new = {columns.plain(str(name)) for name in frame.columns if name not in rows.frame.columns}
        if rows.origin.get("truth") == "folder" and new & set(columns.TRUTH) and "truth" in rows.frame.columns:
            frame = frame.drop(columns="truth")  # the map was asked for, so its label counts and the folder's does not
        rows = replace(rows, frame=frame, noticed=rows.noticed + found)
    if path is not None or plate_map is not None or truth is not None:
        frame, how = columns.truth_column(rows.frame, truth, str(path or source))
        rows.origin["truth"] = rows.origin.get("truth", how) if how == "column 'truth'" else how
        rows = replace(rows, frame=frame)
    return rows


def _of_folder(folder: Path, every: Sequence[str], channels: Sequence[str], pattern: str) -> Rows:
    """The rows of a folder's images; masks beside them are the truth unless folders name classes, else columns."""
    files = [file for file in every if file.lower().endswith(SUFFIXES)]
    files, truths = beside.truths_beside(files, every, folder)
    rows = _of_files(folder, files, channels, pattern)
    kinds = list(truths.columns.drop("image"))
    if not kinds or rows.frame.empty:
        return rows
    frame = rows.frame.astype({"image": "str"}).merge(truths.astype("str"), on="image", how="left")
    classes = frame["truth"].nunique() if "truth" in frame else 0
    named = "truth" in frame and not frame["truth"].str.lower().isin([name.lower() for name in beside.IMAGES]).any()
    if len(kinds) == 1 and not (named and 1 < classes < len(frame)):
        frame = frame.drop(columns="truth", errors="ignore").rename(columns={kinds[0]: "truth"})
        rows.origin["truth"] = f"{kinds[0]} beside the images"
    return replace(rows, frame=frame)


def _of_files(folder: Path, files: Sequence[str], channels: Sequence[str], pattern: str) -> Rows:
    """The rows of image files by what the folders of a plate, the names, or the folders say."""
    if not files:
        raise ManifestError("the folder holds no images and no table", str(folder),
                            "images end in " + ", ".join(sorted(SUFFIXES)))
    plates = plate_rows(folder, files)
    if plates is not None:
        return Rows(plates, folder, {"source": "folder", "image": "fields of OME-Zarr plates", "truth": "none"})
    return of_names(files, channels, pattern, folder)


def of_names(files: Sequence[str], channels: Sequence[str], pattern: str, folder: Path, apart: bool = False) -> Rows:
    """The rows of image files by what their names and folders say; `apart`: the names are no paths."""
    origin = {"source": "folder", "image": "files"}
    named = names.recognise(files, pattern, None if apart else folder)
    inside = named is not None and "channel" in named.frame
    if named is None or (channels and not (inside and set(channels) <= set(named.frame["channel"]))):
        frame = folders.folder_rows(folder, files, channels)
        origin["truth"] = "folder" if "truth" in frame.columns else "none"
        return with_names(Rows(frame, folder, origin, apart=apart), pattern)
    if not inside:
        folders.refuse_channels(files, folder)
    origin["file names"] = names.summary(named)
    if inside and named.frame["channel"].nunique() > 1:
        origin["channels"] = "file names"
    named = names.together(named, channels)
    parts = named.folders.tolist()
    while all(parts) and len({part[0] for part in parts}) == 1:
        parts = [part[1:] for part in parts]  # one folder above all is no class
    told = folders.truth_and_split(parts)
    frame = named.frame.assign(**{name: cells for name, cells in told.items() if name not in named.frame})
    origin["truth"] = "folder" if "truth" in told else "none"
    return Rows(frame, folder, origin, noticed=named.findings, apart=apart)


def with_names(rows: Rows, pattern: str) -> Rows:
    """The rows with the columns that their file names give and that they lack."""
    files = list(dict.fromkeys(rows.frame["image"].astype("str")))
    named = names.recognise(files, pattern, None if rows.apart else rows.folder)
    if named is None:
        return rows
    caught = named.frame.drop(columns=[name for name in named.frame.columns if name in rows.frame and name != "image"])
    rows.origin["file names"] = names.summary(named)
    frame = rows.frame.astype({"image": "str"}).merge(caught, on="image", how="inner")
    return replace(rows, frame=frame, noticed=rows.noticed + named.findings)


def understand(rows: Rows, channels: Sequence[str], group: str | None,
               asked: bool = False) -> tuple[pd.DataFrame, dict[str, str], Path, dict[str, str], tuple[Finding, ...]]:
    """The table, kinds, folder and origin of a manifest, and what was noticed on the way.

    Args:
        rows: see `read_rows`.
        channels: names of parallel files, where they are no columns.
        group: a column or a pattern.
        asked: the truth was named, so what was saved about it does not count.
    """
    frame, kinds = columns.settle_types(rows.frame, rows.parse, None if rows.apart else rows.folder)
    kept = {key: str(value) for key, value in _noted(rows, "origin").items()}
    if not isinstance(_json(kept.get("classes", "")), list):
        kept.pop("classes", None)
    saved = {name: str(kind) for name, kind in _noted(rows, "kinds").items() if name in frame.columns}
    if asked:
        kept.pop("truth", None)
        kept.pop("classes", None)
        saved.pop("truth", None)
    if "split" in frame.columns:
        rows.origin["split"] = "folders" if rows.origin["source"] == "folder" else "column 'split'"
    origin = {**rows.origin, **kept}
    if channels and f"image.{channels[0]}" not in frame.columns:
        files = columns.parallel_channels(frame["image"], channels, rows.folder)
        frame = frame.assign(image=files[channels[0]], **{f"image.{name}": file for name, file in files.items()})
        origin["channels"] = "parallel files: " + ", ".join(channels)
    _refuse_nameless(frame, origin["source"])
    # A row whose id was left empty is known by its image, as all are where there is no column of ids.
    frame = frame.assign(id=frame["id"].fillna(_ids(frame)) if "id" in frame.columns else _ids(frame))
    source = origin["source"].removeprefix("table ") if origin["source"].startswith("table ") else ""
    if group is not None or "group" not in frame.columns or frame["group"].isna().all():
        where = str(rows.folder / source)
        values, origin["group"] = settle_groups(frame, group, where, named="file names" in origin)
        frame = frame.assign(group=values)
    else:
        alone = bool(frame["group"].eq(frame["id"]).all())  # that is how a manifest of unknown groups is written
        origin.setdefault("group", UNKNOWN if alone else "column 'group'")
        frame = frame.assign(group=frame["group"].fillna(frame["id"]))
    first = [name for name in ("id", "image", "group", "truth", "split", "fold") if name in frame.columns]
    rest = [name for name in frame.columns if name not in first]
    # Whoever saved kinds has looked, and columns of other rows' ids may have come in since.
    if not saved and not rows.apart:
        kinds |= dict.fromkeys(columns.file_columns(frame, rows.folder), columns.FILES[0])
    return frame[first + rest].reset_index(drop=True), {**kinds, **saved}, rows.folder, origin, rows.noticed


def _noted(rows: Rows, what: str) -> Mapping[str, Any]:
    """What was saved with a table, if it is what we save: anybody can write into the metadata of a file."""
    noted = rows.saved.get(what)
    return noted if isinstance(noted, Mapping) else {}


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _refuse_nameless(frame: pd.DataFrame, source: str) -> None:
    """Without a name the folder itself would be taken for the image."""
    names = [name for name in map(str, frame.columns) if name == "image" or name.startswith("image.")]
    empty = frame[names].isna().any(axis=1).to_numpy()
    if empty.any():
        rows = [str(at + 1) for at in empty.nonzero()[0]]
        raise ManifestError(f"{len(rows)} of {len(frame)} rows name no image file",
                            f"{source}, rows {some(rows)} below the header", "fill in the file, or remove the rows")


def _ids(frame: pd.DataFrame) -> pd.Series:
    """The image as the name of its row, with the time point, plane or channel where rows share a file."""
    ids = frame["image"]
    if ids.duplicated().any():
        for column in (column for column in (*COUNTED, CHANNEL) if column in frame.columns):
            ids = ids + frame[column].map(lambda cell, of=column: "" if pd.isna(cell) else f"#{of}{cell:g}"
                                          if isinstance(cell, float) else f"#{of}{cell}")
    return ids


def confine(folder: Path, files: pd.DataFrame) -> None:
    """Refuse paths, in whatever column, that leave the folder of their table, by `..`, an absolute path or a link.

    Raises:
        ManifestError: the first such path.
    """
    root = os.path.realpath(folder)
    for path in (folder / str(cell) for name in files for cell in files[name].dropna()):
        if not Path(os.path.realpath(path)).is_relative_to(root):
            raise ManifestError("a path leaves the folder of the table", str(path), "put the images into that folder")
