"""Tables that hold a row an object, or name images without their folder: made into one row an image."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import pandas as pd

from potency.data import beside, columns, folders
from potency.data.readers import SUFFIXES

FEWEST = 0.9  # of the names of a column that must be those of images


def one_an_image(frame: pd.DataFrame, path: Path, truth: str | None) -> tuple[pd.DataFrame, dict[str, str]]:
    """The rows of a table as one row an image, with what was understood in words; unchanged where it is so already.

    A table of points or boxes in which images recur is the truth of all of them: of its columns those stay that are
    the same in all rows of an image. Images that are named without their folder or suffix are looked for below the
    table's folder. A table without a truth gets the masks, points or boxes that stand beside its images.
    """
    said: dict[str, str] = {}
    if truth is None and (objects := _objects(frame)):
        kept = [objects["image"], *(name for name in frame.columns if name not in objects.values())]
        own = frame.groupby(objects["image"], sort=False)[kept[1:]].nunique(dropna=False).le(1).all()
        frame = frame[[kept[0], *own[own].index]].drop_duplicates(kept[0]).reset_index(drop=True)
        frame = frame.rename(columns={kept[0]: "image"}).assign(truth=path.name)
        said["truth"] = f"points or boxes in {path.name}, a row an object"
    frame, how = _found(frame, path)
    said |= {"image": how} if how else {}
    if truth is None and how and not columns.names_truth(frame):
        every = folders.images_below(path.parent, (*SUFFIXES, *beside.KNOWN))
        images = [str(cell) for cell in frame["image"]]
        _, truths = beside.truths_beside(images, [file for file in every if file not in set(images)], path.parent)
        kinds = list(truths.columns.drop("image"))
        if len(kinds) == 1:
            told = dict(zip(truths["image"].astype("str"), truths[kinds[0]], strict=True))
            frame = frame.assign(truth=pd.Series([told.get(image) for image in images], frame.index, dtype="str"))
            said["truth"] = f"{kinds[0]} beside the images"
    return frame, said


def _objects(frame: pd.DataFrame) -> Mapping[str, str]:
    """Which columns say where objects are and in which image, of a table with a row an object; {} of any other."""
    from potency.data.masks.points import named, places_of  # late: most tables hold no objects

    if any(str(name).startswith(("tile.", "truth", "image.")) for name in frame.columns):
        return {}
    told = named(frame, Path())
    places = places_of(told)
    if not places or "image" not in told or not frame[told["image"]].duplicated().any():
        return {}
    return {what: name for what, name in told.items() if what in ("image", "class", "score", *places)}


def worded(frame: pd.DataFrame) -> list[str]:
    """The columns that may name images: numbers are measured more often than they are names."""
    return [str(name) for name in frame.columns if pd.to_numeric(frame[name], errors="coerce").isna().any()]


def _found(frame: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, str]:
    """The table with paths of images where it names them without their folder or suffix, and in which column."""
    named = columns.image_alias(frame)
    if named is not None:
        cells = frame[named].dropna().astype("str")
        there = [os.path.exists(path.parent / cell.replace("\\", "/")) for cell in cells.head(columns.LOOKED_AT)]
        if any(there) or not len(cells) or any("/" in cell or "\\" in cell for cell in cells):
            return frame, ""
    below: dict[str, list[str]] = {}
    for file in folders.images_below(path.parent, SUFFIXES):
        plain = PurePosixPath(file)
        for key in {plain.name, plain.stem}:
            below.setdefault(key, []).append(file)
    only = {key: files[0] for key, files in below.items() if len(files) == 1}
    for column in [named] if named is not None else worded(frame):
        cells = frame[column].astype("str")
        if cells.is_unique and cells.isin(only.keys()).mean() >= FEWEST:
            paths = [only.get(cell, cell) for cell in cells]
            frame = frame.drop(columns="image", errors="ignore")
            frame = frame.assign(image=pd.Series(paths, frame.index, dtype="str"))
            return frame, f"files of the names in column '{column}'"
    return frame, ""
