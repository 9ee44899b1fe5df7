"""Finds masks, outlines and boxes that stand beside the images of a folder, by the names that programs give them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

import pandas as pd

from potency.data.columns import HELD, MASKS
from potency.errors import ManifestError

NAMED = re.compile(r"_(cp_masks|masks?|labels|instances|roiset)$", re.IGNORECASE)  # Cellpose's are the first two
# Beside a folder of images of the same names.
FOLDERS = (MASKS, "mask", "labels", "annotations", "groundtruth", "gt", "points", "boxes")
IMAGES = ("images", "Images", "image", "img", "imgs", "JPEGImages")
ALONE = (".geojson", ".roi", ".zip")  # say by their suffix what they are, when they are called like an image
LOCKED = "_seg.npy"  # Cellpose's pickle
KNOWN = tuple(sorted(suffix for held in HELD.values() for suffix in held))
FEWEST = 0.5  # of the images; fewer have got a file of such a name by chance


def truths_beside(files: Sequence[str], every: Iterable[str], folder: Path) -> tuple[list[str], pd.DataFrame]:
    """The image files that are no truth of another, and for these a column for each kind of truth beside them.

    `every` are all files whose suffix is one of `files` or `KNOWN`. Looked for: `a_masks.tif`, `a_cp_masks.png`,
    `a.geojson`, `a_RoiSet.zip` beside `a.tif`; the same names in `masks/` (`labels/` ...) as in `images/`; and a folder
    with one image in `images/` and an image an object in `masks/` (Data Science Bowl 2018).

    >>> files = ["a.tif", "a_masks.tif", "b.tif", "b_masks.tif"]
    >>> truths_beside(files, files, Path())[1].to_dict("list")
    {'image': ['a.tif', 'b.tif'], 'masks': ['a_masks.tif', 'b_masks.tif']}

    Raises:
        ManifestError: there is nothing but Cellpose's `_seg.npy`.
    """
    images = {_key(file): file for file in files if not file.lower().endswith(LOCKED)}
    found: dict[str, dict[str, str]] = {}
    for file in every:
        kind, key = next((each for each in _of_which(file) if images.get(each[1], file) != file), ("", ("", "")))
        if kind:
            found.setdefault(kind, {}).setdefault(images[key], file)
    inside = _one_an_object(images.values(), found)
    spent = inside.union(*(told.values() for told in found.values()))
    left = [file for file in images.values() if file not in spent]
    kinds = {kind: told for kind, told in found.items() if sum(file in told for file in left) >= FEWEST * len(left) > 0}
    locked = [file for file in files if file.lower().endswith(LOCKED) and _key(file[: -len(LOCKED)]) in images]
    if locked and not kinds:
        _refuse(locked, folder)
    if not kinds:
        return list(files), pd.DataFrame({"image": list(files)})
    spent = (inside if MASKS in kinds else set()).union(*(told.values() for told in kinds.values()))
    left = [file for file in images.values() if file not in spent]
    return left, pd.DataFrame({"image": left} | {kind: [told.get(f) for f in left] for kind, told in kinds.items()})


def _key(file: str) -> tuple[str, str]:
    path = PurePosixPath(file)
    return str(path.parent), path.stem.lower()


def _of_which(file: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """Which images it may be the truth of, the likeliest first: the kind of truth, and folder and name of the image."""
    path = PurePosixPath(file)
    named, parts = NAMED.search(path.stem), path.parts
    stem = path.stem[: named.start()] if named else path.stem
    if named:
        yield named[1].lower(), (str(path.parent), stem.lower())
    elif path.suffix.lower() in ALONE:
        yield path.suffix[1:].lower(), (str(path.parent), stem.lower())
    at = max((k for k, part in enumerate(parts[:-1]) if part.lower() in FOLDERS), default=None)
    if at is not None:
        for other in IMAGES:
            for name in {path.stem.lower(), stem.lower()}:
                yield parts[at].lower(), (str(PurePosixPath(*parts[:at], other, *parts[at + 1 : -1])), name)


def _one_an_object(files: Iterable[str], found: dict[str, dict[str, str]]) -> set[str]:
    """Folders with one image and its masks: `found` learns of them; the files that are masks."""
    inside: dict[tuple[str, str], list[str]] = {}
    for file in files:
        path = PurePosixPath(file)
        if len(path.parts) > 1:
            inside.setdefault((str(path.parent.parent), path.parent.name), []).append(file)
    used: set[str] = set()
    for (above, name), masks in inside.items():
        image = inside.get((above, "images"), [])
        if name == MASKS and len(image) == 1:
            found.setdefault(MASKS, {})[image[0]] = above
            used |= set(masks)
    return used


def _refuse(locked: Sequence[str], folder: Path) -> None:
    from potency.data.masks.labelled import CELLPOSE  # late: tables open no images

    raise ManifestError(f"{len(locked)} images have their masks in _seg.npy only, a pickle that could run code when "
                        "loaded, so it is not opened", str(folder / locked[0]), CELLPOSE)  # fmt: skip
