"""Understands the columns of a table: which one is the image, the truth, the group, and which files are channels."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import pandas as pd

from potency.data.folders import split_name
from potency.data.several import separated
from potency.data.tables import typed
from potency.errors import ManifestError, nearest

IMAGE = ("image", "file", "path", "filename", "filepath", "imagepath", "imagefile", "img")
TRUTH = ("truth", "label", "class", "target")
# What a column of paths holds, by the suffixes of all that `potency.data.masks` reads; a folder of masks has none.
HELD = {
    "labels": {".tif", ".tiff", ".png", ".npy", ".zarr", ".geojson", ".json", ".gz", ".roi", ".zip"},
    "objects": {".csv", ".tsv", ".parquet", ".xml", ".txt"},
}
FILES = ("file", "picture", "regions", "density", *HELD)  # kinds of columns that name files
MASKS = "masks"  # the folder in which masks lie, one an object
WHOLE = ("labelset", *FILES)  # kinds of truths of which hardly two are alike: no classes that parts must share
LOOKED_AT = 1000  # cells of a column; files may be missing
APART = "names apart from files"  # what `origin["image"]` says where images are called so and lie elsewhere
_TEXT = ("id", "image", "group", "split", "tile.of")


def plain(name: str) -> str:
    """A column name without case, spaces and underscores: `File Name`, `file_name` and `filename` are one.

    >>> plain("File Name")
    'filename'
    """
    return re.sub(r"[\s_-]+", "", name).lower()


def simulated(table: pd.DataFrame) -> bool:
    """Whether a column says of any row that a program drew it, in a table of booleans or of text.

    >>> simulated(pd.DataFrame({"simulated": ["False", "no"]})), simulated(pd.DataFrame({"simulated": [True]}))
    (False, True)
    """
    return "simulated" in table.columns and bool(table["simulated"].astype(str).str.lower().isin(("true", "1")).any())


def seen(frame: pd.DataFrame) -> str:
    """The columns as a phrase for messages."""
    return "columns: " + ", ".join(map(str, frame.columns))


def find_column(frame: pd.DataFrame, name: str, where: str, mend: str = "") -> str:
    """The column of that name, case and spaces apart.

    Raises:
        ManifestError: there is none; the nearest is named, else `mend` where that is given.
    """
    if name in frame.columns:
        return name
    found = [str(column) for column in frame.columns if plain(str(column)) == plain(name)]
    if len(found) != 1:
        near = nearest(name, map(str, frame.columns))
        raise ManifestError(f"there is no column '{name}'", f"{where}, {seen(frame)}",
                            mend if mend and near.startswith("known") else near)
    return found[0]


def _alias(frame: pd.DataFrame, names: Sequence[str]) -> str | None:
    columns = {plain(str(column)): str(column) for column in reversed(frame.columns)}
    return next((columns[name] for name in names if name in columns), None)


def image_alias(frame: pd.DataFrame) -> str | None:
    """The column that is called as columns of image files are; None where there is none."""
    return _alias(frame, IMAGE)


def names_truth(frame: pd.DataFrame) -> bool:
    """Whether a column, or columns of parts, are called as a truth is."""
    return _alias(frame, TRUTH) is not None or any(str(name).startswith("truth.") for name in frame.columns)


def image_columns(frame: pd.DataFrame, channels: Sequence[str], where: str) -> tuple[pd.DataFrame, str]:
    """The table with `image` (and `image.<channel>` where the channels are columns), and how that was understood.

    Raises:
        ManifestError: no column holds the image files.
    """
    names = {plain(str(column)): str(column) for column in frame.columns}
    given = [names.get(plain("image." + channel), names.get(plain(channel))) for channel in channels]
    if channels and all(given):
        frame = frame.rename(columns={old: f"image.{new}" for old, new in zip(given, channels, strict=True) if old})
        order = [f"image.{channel}" for channel in channels]
        rest = [name for name in frame.columns if not str(name).startswith("image.")]  # channels not asked for go
        frame = frame[order + rest]
        return frame.assign(image=frame[f"image.{channels[0]}"]), "columns of the table"
    own = [str(column) for column in frame.columns if str(column).startswith("image.")]
    if own and not channels:
        return frame.assign(image=frame[own[0]]), "columns of the table"
    column = _alias(frame, IMAGE)
    if column is None:
        raise ManifestError("no column holds the image files", f"{where}, {seen(frame)}", _image_hint(frame))
    return frame.rename(columns={column: "image"}), f"column '{column}'"


def _image_hint(frame: pd.DataFrame) -> str:
    for column in frame.columns:
        cell = str(frame[column].iloc[0]).lower()
        if re.search(r"\.(tiff?|png|jpe?g|zarr|npy|bmp)$", cell):
            return f"rename the column '{column}' to image, or give it as a channel: --channels {column}"
    return "name it image (or file, path, filename); it holds paths relative to the table's folder"


def file_columns(frame: pd.DataFrame, folder: Path) -> list[str]:
    """Columns beside the images that name files below `folder`: masks, stains, maps; what names a row is no file."""
    ids, found = set(frame["id"]), []
    for name in map(str, frame.columns):
        if name in (*_TEXT, "truth") or name.startswith("image."):
            continue
        cells = [cell for cell in frame[name].dropna().head(LOOKED_AT) if isinstance(cell, str)]
        if not ids.issuperset(cells) and any(_is_file(os.path.join(folder, cell)) for cell in cells):
            found.append(name)
    return found


def _is_file(path: str) -> bool:
    return bool(os.path.splitext(path)[1]) and (os.path.isfile(path) or path.endswith(".zarr") and os.path.isdir(path))


def truth_column(frame: pd.DataFrame, truth: str | None, where: str) -> tuple[pd.DataFrame, str]:
    """The table with its truth in `truth`, and how it was found; another column of that name becomes `truth@table`."""
    if truth is None:
        column = _alias(frame, TRUTH)
        if column is None:
            parts = [name for name in frame.columns if str(name).startswith("truth.")]
            return frame, f"columns '{parts[0]}' ..." if parts else "none"
    else:
        column = find_column(frame, truth, where)
    if column != "truth" and "truth" in frame.columns:
        frame = _with_parts(frame, "truth", "truth@table")
    return _with_parts(frame, column, "truth"), f"column '{column}'"


def _with_parts(frame: pd.DataFrame, old: str, new: str) -> pd.DataFrame:
    """The table with a column and its parts (`map.classes` of `map`) renamed."""
    return frame.rename(columns={name: new + str(name)[len(old) :] for name in frame.columns
                                 if str(name) == old or str(name).startswith(f"{old}.")})  # fmt: skip


def settle_types(frame: pd.DataFrame, parse: bool, folder: Path | None = Path()) -> tuple[pd.DataFrame, dict[str, str]]:
    """Names as text, numbers as numbers, and the kind of answer the truth is ("category", "number", "vector" ...).

    With `parse` text is looked at for numbers (tables of text); without, every column keeps its type. Paths start at
    `folder`; None: nothing is looked up on the disk.
    """
    kinds: dict[str, str] = {}
    settled = {}
    for name in map(str, frame.columns):
        text = name in _TEXT or name.startswith("image.")
        settled[name] = _text(frame[name]) if text else typed(frame[name]) if parse else frame[name]
        if parse and (name == "image" or name.startswith("image.")):
            settled[name] = settled[name].str.replace("\\", "/", regex=False)  # a table made on Windows
    if "split" in settled:
        settled["split"] = settled["split"].map(lambda name: split_name(name) if isinstance(name, str) else name)
    if "truth" in settled:
        kinds["truth"] = truth_kind(settled["truth"], folder)
        if kinds["truth"] in ("category", "labelset", *HELD):
            settled["truth"] = _text(frame["truth"])
    elif any(name.startswith("truth.") and pd.api.types.is_numeric_dtype(settled[name]) for name in settled):
        kinds["truth"] = "vector"
    return pd.DataFrame(settled), kinds


def truth_kind(truth: pd.Series, folder: Path | None = Path()) -> str:
    """Text and a few whole numbers that repeat are categories, paths what their files hold, other numbers numbers.

    Where a cell names several classes ("nucleus | membrane", "nucleus;membrane"), the column holds sets of them.

    >>> truth_kind(pd.Series(["a", "b"])), truth_kind(pd.Series([0.5, 1.5, 2.0])), truth_kind(pd.Series([0, 1, 0, 1]))
    ('category', 'number', 'category')
    >>> truth_kind(pd.Series(["a", "a | b"]))
    'labelset'
    """
    if not pd.api.types.is_numeric_dtype(truth) or pd.api.types.is_bool_dtype(truth):
        return file_kind(truth, folder) or ("labelset" if separated(truth) else "category")
    present = truth.dropna()
    whole = bool((present == present.round()).all())
    return "category" if whole and present.nunique() <= min(20, max(2, len(present) // 2)) else "number"


def file_kind(cells: pd.Series, folder: Path | None = Path()) -> str:
    """What a column of paths holds: objects with outlines ("labels"), boxes or points ("objects"), or "" for no paths.

    Suffixes tell, and blank cells nothing; a column of folders from `folder` that have a folder `masks` in them holds
    labels too.

    >>> file_kind(pd.Series(["masks/a.tif", ""])), file_kind(pd.Series(["a.csv", None])), file_kind(pd.Series(["a"]))
    ('labels', 'objects', '')
    """
    told = [cell for cell in cells.dropna() if not isinstance(cell, str) or cell.strip()]
    suffixes = {_suffix(cell) if isinstance(cell, str) else "" for cell in told}
    if folder is not None and suffixes == {""} and all(
            isinstance(cell, str) and _has_masks(folder, cell) for cell in told[:LOOKED_AT]):
        return "labels"
    return next((kind for kind, known in HELD.items() if suffixes and suffixes <= known), "")


def _suffix(path: str) -> str:
    """The suffix in small letters; what lies in an OME-Zarr image is one too."""
    inside = (PurePosixPath(part).suffix.lower() for part in PurePosixPath(path).parts)
    return ".zarr" if ".zarr" in inside else PurePosixPath(path).suffix.lower()


def _has_masks(folder: Path, cell: str) -> bool:
    return os.path.isdir(os.path.join(folder, cell, MASKS)) or (
        os.path.basename(cell) == MASKS and os.path.isdir(os.path.join(folder, cell)))


def _text(cells: pd.Series) -> pd.Series:
    if isinstance(cells.dtype, pd.StringDtype):
        return cells.where(cells != "")

    def name(cell: object) -> str | None:
        if cell is None or cell is pd.NA or cell is pd.NaT or (isinstance(cell, float) and cell != cell):
            return None
        return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell).strip() or None
    return pd.Series([name(cell) for cell in cells.tolist()], index=cells.index, dtype="str", name=cells.name)


def parallel_channels(images: pd.Series, channels: Sequence[str], folder: Path) -> Mapping[str, pd.Series]:
    """For each channel the paths of its files, found by putting its name in the place of another channel's.

    The name stands as a folder (`brightfield/G1/7.png`, `darkfield/G1/7.png`) or in the file name
    (`a1_dapi.tif`, `a1_gfp.tif`).

    Raises:
        ManifestError: a channel has no parallel folder or file.
    """
    first = PurePosixPath(str(images.iloc[0]))
    for depth in range(len(first.parts) - 1):
        names = [_beside(folder / PurePosixPath(*first.parts[:depth]), channel) for channel in channels]
        if _stand(folder, [_put(first, depth, name) for name in names]):
            return {channel: pd.Series([str(_put(PurePosixPath(path), depth, name)) for path in images],
                                       index=images.index, dtype="str")
                    for channel, name in zip(channels, names, strict=True)}
    for channel in channels:
        word = re.compile(rf"(?<![A-Za-z0-9]){re.escape(channel)}(?![A-Za-z0-9])", re.IGNORECASE)
        if word.search(first.name) and _stand(folder, [_word(first, word, other) for other in channels]):
            return {other: pd.Series([str(_word(PurePosixPath(path), word, other)) for path in images],
                                     index=images.index, dtype="str") for other in channels}
    raise ManifestError("no parallel files for the channels " + ", ".join(channels), f"{folder}, first image {first}",
                        "a channel is a column of the table, or a folder or word in the path that can be exchanged; "
                        "folders seen: " + (", ".join(_folders(folder)) or "none"))


def match_groups(images: pd.Series, pattern: str) -> pd.Series:
    """The groups a regular expression finds in the paths, its brackets joined by "_".

    Raises:
        ManifestError: not a regular expression, or it does not fit every path.
    """
    try:
        found = images.str.extract(pattern)
    except (re.error, ValueError) as fault:
        raise ManifestError(f"'{pattern}' is not a pattern for groups", "--group", str(fault)) from fault
    odd = found.isna().all(axis=1)
    if odd.any():
        raise ManifestError(f"the pattern '{pattern}' does not fit {int(odd.sum())} of {len(images)} paths",
                            str(images[odd].iloc[0]), "widen it; its bracket is the group")
    return found.fillna("").agg("_".join, axis=1)


def _beside(folder: Path, name: str) -> str:
    """The name as written on disk, where it differs in case only."""
    return next((path.name for path in sorted(folder.iterdir()) if path.name.lower() == name.lower()), name)


def _put(path: PurePosixPath, depth: int, name: str) -> PurePosixPath:
    return PurePosixPath(*path.parts[:depth], name, *path.parts[depth + 1:])


def _word(path: PurePosixPath, word: re.Pattern[str], name: str) -> PurePosixPath:
    return path.with_name(word.sub(lambda _: name, path.name))


def _stand(folder: Path, paths: Sequence[PurePosixPath]) -> bool:
    return all((folder / path).exists() for path in paths)


def _folders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))[:20]
