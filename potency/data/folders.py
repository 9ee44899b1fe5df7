"""Finds what a folder holds: its table, else its image files with the class and split their folders name."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path, PurePosixPath

import pandas as pd

from potency.data.tables import TABLE_SUFFIXES
from potency.errors import ManifestError

RUN = "run.json"  # marks a folder that a run has written: its crops and parts are no images of anybody's
_TABLE_NAMES = ("manifest", "labels")
_SPLITS = {"train": "train", "training": "train", "val": "validation", "valid": "validation", "dev": "validation",
           "validation": "validation", "test": "test", "testing": "test", "external": "external", "holdout": "external"}
CHANNEL_LIKE = re.compile(r"(bright|dark)_?field|bf|df|phase|pc|dic|dapi|hoechst|gfp|rfp|cfp|yfp|mcherry|cy[357]|"
                           r"af\d{3}|fitc|tritc|(ch|c|channel|w)[ _-]?\d{1,2}", re.IGNORECASE)


def split_name(name: str) -> str:
    """The standard name of a split, `val` or `Validation` alike; an unknown name comes back as it is.

    >>> split_name("val"), split_name("batch7")
    ('validation', 'batch7')
    """
    return _SPLITS.get(name.strip().lower(), name.strip())


def find_table(folder: Path, but: Path | None = None) -> Path | None:
    """The table of a folder: `manifest.*`, `labels.*`, else the only table there `but` one; None where there is none.

    Raises:
        ManifestError: several tables and none with a name that settles it.
    """
    tables = sorted(path for path in folder.iterdir() if path.suffix.lower() in TABLE_SUFFIXES and path.is_file()
                    and not path.name.startswith((".", "~")) and not (but and path.samefile(but)))
    for name in _TABLE_NAMES:
        for suffix in TABLE_SUFFIXES:
            for path in tables:
                if path.name.lower() == name + suffix:
                    return path
    tables = [path for path in tables if path.suffix.lower() != ".txt"]  # a stray note is not a table
    if len(tables) > 1:
        raise ManifestError("the folder holds several tables: " + ", ".join(path.name for path in tables), str(folder),
                            "give the path of the one to use, or call it labels.csv")
    return tables[0] if tables else None


def images_below(folder: Path, suffixes: Collection[str]) -> list[str]:
    """All image files below a folder as relative paths with `/`, in natural order.

    Hidden ones are left out, and folders that a run has written, so that a training may stand beside its images.

    Raises:
        ManifestError: a link that leads back into a folder it stands in.
    """
    return sorted(_walk(folder, PurePosixPath(), suffixes, (os.path.realpath(folder),)), key=natural)


def _walk(folder: Path, below: PurePosixPath, suffixes: Collection[str], above: tuple[str, ...]) -> Iterator[str]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as fault:
        raise ManifestError("a folder cannot be opened", str(folder), str(fault.strerror or fault)) from fault
    for entry in entries:
        if entry.name.startswith((".", "~")) or entry.name == "__MACOSX":
            continue
        inner = below / entry.name
        if any(entry.name.lower().endswith(suffix) for suffix in suffixes):
            yield str(inner)  # a .zarr folder is one image
        elif os.path.isfile(os.path.join(entry.path, RUN)):
            continue
        elif os.path.isdir(entry.path):  # entry.is_dir() is an error, not False, where a link leads to itself
            real = os.path.realpath(entry.path)
            if real in above:
                raise ManifestError("a link leads back into a folder it stands in", entry.path, "remove the link")
            yield from _walk(Path(entry.path), inner, suffixes, (*above, real))
        elif entry.is_symlink() and not os.path.exists(entry.path) and _loops(entry.path):
            raise ManifestError("a link leads to itself", entry.path, "remove the link")


def _loops(path: str) -> bool:
    try:
        os.stat(path)
    except OSError as fault:
        return not isinstance(fault, FileNotFoundError)
    return False


def natural(text: str) -> tuple[tuple[int, int | str], ...]:
    """A sort key under which `well 9` stands before `well 10`.

    >>> sorted(["day10", "day9"], key=natural)
    ['day9', 'day10']
    """
    return tuple((0, int(part)) if part.isdigit() and part.isascii() else (1, part)
                 for part in re.split(r"(\d+)", text) if part)


def folder_rows(folder: Path, files: Sequence[str], channels: Sequence[str]) -> pd.DataFrame:
    """One row an image: `image`, and `truth` and `split` where the folders name them.

    Layouts: `class/...`, `train/class/...`, the same below one folder a channel (`channels`), or images alone.

    Raises:
        ManifestError: folders that look like channels and were not said to be.
    """
    paths = [PurePosixPath(file) for file in files]
    first = _channel_folder(paths, channels)
    if first is not None:
        paths = [path for path in paths if first in path.parts]  # the other channels are found beside these
    elif channels:
        word = re.compile(rf"(?<![A-Za-z0-9]){re.escape(channels[0])}(?![A-Za-z0-9])", re.IGNORECASE)
        paths = [path for path in paths if word.search(path.name)] or paths
    else:
        refuse_channels(files, folder)
    frame = pd.DataFrame({"image": pd.Series([str(path) for path in paths], dtype="str")})
    parts = [tuple(part for part in path.parts[:-1] if part != first) for path in paths]
    return frame.assign(**truth_and_split(parts))


def truth_and_split(parts: Sequence[tuple[str, ...]]) -> dict[str, pd.Series]:
    """The columns that the folders of each image give: `truth` where there are any, `split` where they are splits."""
    tops = {part[0] for part in parts if part}
    split = bool(tops) and all(parts) and all(top.lower() in _SPLITS for top in tops) and len(tops) > 1
    found: dict[str, pd.Series] = {}
    if split:
        found["split"] = pd.Series([split_name(part[0]) for part in parts], dtype="str")
        parts = [part[1:] for part in parts]
    if any(parts):
        found = {"truth": pd.Series([part[0] if part else None for part in parts], dtype="str"), **found}
    return found


def _channel_folder(paths: Sequence[PurePosixPath], channels: Sequence[str]) -> str | None:
    """The name, as written on disk, of the folder of the first of the asked channels that is a folder."""
    names = {part.lower(): part for path in paths for part in path.parts[:-1]}
    return next((names[channel.lower()] for channel in channels if channel.lower() in names), None)


def refuse_channels(files: Sequence[str], folder: Path) -> None:
    """Refuse folders that look like channels of the same cells and were not said to be.

    Raises:
        ManifestError: they do.
    """
    inner: dict[str, set[str]] = {}
    for path in map(PurePosixPath, files):
        inner.setdefault(path.parts[0], set()).add("/".join(path.parts[1:]))
    first = next(iter(inner.values()))
    if len(inner) > 1 and all(CHANNEL_LIKE.fullmatch(name) for name in inner) and all(
            files == first for files in inner.values()):
        raise ManifestError("these folders look like channels of the same cells, not like classes: "
                            + ", ".join(sorted(inner)), str(folder),
                            "say which to use: --channels " + ",".join(sorted(inner)))


def of_the_system(name: str) -> bool:
    """What systems put into folders and archives beside a person's files."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return name.startswith("__MACOSX/") or last in ("Thumbs.db", "desktop.ini", ".DS_Store") or last.startswith("._")
