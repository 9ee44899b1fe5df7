"""The verb `quality`: every image of a manifest is judged, and what was found joins the table as columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from potency.errors import ManifestError, PotencyError
from potency.measurement.quality.flags import LIMITS
from potency.measurement.quality.flatfield import FEWEST, Light, learn_light
from potency.measurement.quality.light import SMALLEST
from potency.measurement.quality.measures import judge

if TYPE_CHECKING:
    from potency.data.manifest import Manifest

MIDDLE = 4096  # pixels a side: of a larger image its middle is judged
COLOURS = ("red", "green", "blue")
MOST = 50  # images from which the light is learned
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Judged:
    """What one image tells: measures by channel; or why it cannot be read."""

    channels: Mapping[str, Mapping[str, float]]
    error: str = ""


def quality(
    manifest: Manifest,
    *,
    by: str = "",
    on: Callable[..., Iterable[Any]] = map,
    progress: Callable[[int, int], object] | None = None,
) -> Manifest:
    """The manifest with columns `quality.<measure>` and `quality.flags`, the flags in words with semicolons between.

    Measures are those of `measures.MEASURES`, limits those of `flags.LIMITS`. Images of several channels have columns
    `quality.<channel>.<measure>`, and the channel stands behind the flag; colour is judged as grey. An image that
    cannot be read says why in `quality.error` and is flagged `unreadable`. Of images beyond 4096 pixels the middle is
    judged.

    Args:
        manifest: the rows.
        by: the column of what was taken alike, within which an image is unusual or not; by default `plate` where there
            is one. It may also be unusual among all rows, as a plate that is wrong throughout hides its own. Among
            fewer than eight images nothing is unusual.
        on: the builtin map, a `Pool` or a cluster.
        progress: called with (images judged, images in all).

    Raises:
        ManifestError: there is no such column.
    """
    import pandas as pd

    from potency.data.columns import find_column

    table = manifest.table
    by = find_column(table, by, "quality(by=...)") if by else "plate" if "plate" in table.columns else ""
    alike = table[by].astype("str").tolist() if by else [""] * len(table)
    bare = replace(manifest, table=table.iloc[:0])
    found: list[Judged] = []
    for one in on(partial(look, bare), manifest.records()):
        found.append(one if isinstance(one, Judged) else Judged({}, "the process that read it died"))
        if progress:
            progress(len(found), len(table))
    columns, flags = _columns(found, alike)
    columns["quality.flags"] = pd.array(["; ".join(words) for words in flags], dtype="str")
    if any(one.error for one in found):
        columns["quality.error"] = pd.array([one.error or None for one in found], dtype="str")
    old = [name for name in table.columns if str(name).startswith("quality.")]
    fresh = pd.DataFrame(columns, index=table.index)
    return replace(manifest, table=pd.concat([table.drop(columns=old), fresh], axis=1))


def look(manifest: Manifest, row: Row) -> Judged:
    """Judge the image of one row, in the process where this is called."""
    import cv2

    try:
        names, pixels = read(manifest, row)
    except PotencyError as error:
        return Judged({}, error.what)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # so that one core is one core; many images are worked on by `on`
    try:
        return Judged({name: judge(plane) for name, plane in zip(names, pixels, strict=True)})
    finally:
        cv2.setNumThreads(threads)


def read(manifest: Manifest, row: Row) -> tuple[tuple[str, ...], NDArray[Any]]:
    """The channels of a row by name and its pixels (C, H, W); colour as grey, of a huge image the middle."""
    image = manifest.open(row)
    window = manifest.window(row)
    if window is None:
        first = {axis: max(0, (image.sizes[axis] - MIDDLE) // 2) for axis in "YX"}
        window = {axis: slice(at, at + MIDDLE) for axis, at in first.items()}
    pixels = image.crop(window)
    if tuple(image.channels) == COLOURS:
        grey = pixels.mean(axis=0, dtype=np.float32, keepdims=True)
        return ("grey",), np.rint(grey).astype(pixels.dtype) if pixels.dtype.kind in "ui" else grey
    return tuple(image.channels), pixels


def _columns(found: Sequence[Judged], alike: Sequence[str]) -> tuple[dict[str, Any], list[list[str]]]:
    """Columns of the measures, and the flags of each row."""
    several = max((len(one.channels) for one in found), default=0) > 1
    columns: dict[str, Any] = {}
    flags: list[list[str]] = [["unreadable"] if one.error else [] for one in found]
    for channel in dict.fromkeys(name if several else "" for one in found for name in one.channels):
        here = [one.channels.get(channel, {}) if several else next(iter(one.channels.values()), {}) for one in found]
        measures = dict.fromkeys(name for cells in here for name in cells)
        named = {name: np.array([cells.get(name, np.nan) for cells in here]) for name in measures}
        columns |= {".".join(("quality", *([channel] if several else []), m)): v for m, v in named.items()}
        for limit in LIMITS:
            if limit.measure not in named:
                continue
            for row in np.flatnonzero(limit.raised(named[limit.measure], alike)):
                word = f"{limit.flag} ({channel})" if several else limit.flag
                if word not in flags[row]:
                    flags[row].append(word)
    return columns, flags


def flagged(manifest: Manifest) -> dict[str, list[int]]:
    """The rows of each flag, the most frequent flag first.

    Raises:
        ManifestError: the rows were not judged yet.
    """
    if "quality.flags" not in manifest.table.columns:
        raise ManifestError("the images were not judged yet", "column 'quality.flags'", "call quality(manifest) first")
    rows: dict[str, list[int]] = {}
    for row, words in enumerate(manifest.table["quality.flags"].fillna("")):
        for word in filter(None, str(words).split("; ")):
            rows.setdefault(word, []).append(row)
    return dict(sorted(rows.items(), key=lambda item: -len(item[1])))


def lights(manifest: Manifest, most: int = MOST) -> dict[str, Light]:
    """How the field is lit, by channel, learned from up to `most` whole images of the most frequent size.

    Empty where fewer than three images can be read, or all are crops under 128 pixels, in which the cell is the light.
    """
    planes: dict[str, dict[tuple[int, int], list[NDArray[np.float32]]]] = {}
    records = manifest.records()
    for row in records[:: max(1, len(records) // most)]:
        try:
            if manifest.window(row) is not None:
                continue
            names, pixels = read(manifest, row)
        except PotencyError:
            continue
        for name, plane in zip(names, pixels, strict=True):
            if min(plane.shape) >= SMALLEST:
                shape = cast(tuple[int, int], plane.shape)
                planes.setdefault(name, {}).setdefault(shape, []).append(np.asarray(plane, np.float32))
    made = {}
    for name, sizes in planes.items():
        shape, count = Counter({size: len(some) for size, some in sizes.items()}).most_common(1)[0]
        if count >= FEWEST:
            try:
                made[name] = learn_light(sizes[shape])
            except PotencyError:  # nothing but darkness: no light to speak of
                continue
    return made
