"""What the audit measures of the pictures: places fixed in the frame, and level, focus and size of the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from potency.confounding.suspects import BACKGROUND, MEASURED, Suspect, of_numbers
from potency.errors import PotencyError
from potency.measurement.frame import frame
from potency.measurement.measure import Family, features

if TYPE_CHECKING:
    from potency.data.manifest import Manifest

FRAME = Family("frame", frame, "what lies at a fixed place near the border")
MOST_PIXELS = 2**24  # of one picture: what is larger is cut to its middle, and is not a crop of a cell anyway
BATCH = 256  # pictures held at once
PLACE, LEVEL, FOCUS, FILE = "fixed places near the border", "level of the background", "focus", "size of the file"


def measured(
    manifest: Manifest, families: Sequence[str] = (), progress: Callable[[int, int], object] | None = None
) -> tuple[pd.DataFrame, dict[int, str]]:
    """Numbers of the pictures of all rows, and by row why some could not be read (their numbers are missing).

    Columns: `frame.<channel>.<feature>` (see `measurement.frame`), those of other `families`, and `file`, the size in
    bytes.
    """
    pieces: list[pd.DataFrame] = []
    wrong: dict[int, str] = {}
    crops: list[NDArray[Any]] = []
    rows: list[int] = []
    for number, row in enumerate(manifest.records()):
        try:
            crops.append(_pixels(manifest, row))
            rows.append(number)
        except PotencyError as error:
            wrong[number] = error.what
        if len(crops) >= BATCH or number + 1 == len(manifest):
            pieces += [numbers_of(crops[a:b], families).set_axis(pd.Index(rows[a:b])) for a, b in _alike(crops)]
            crops, rows = [], []
        if progress is not None:
            progress(number + 1, len(manifest))
    table = pd.concat(pieces) if pieces else pd.DataFrame()
    table = table.reindex(range(len(manifest)))
    return table.assign(file=[_bytes(manifest.paths(row)) for row in manifest.records()]), wrong


def _pixels(manifest: Manifest, row: Mapping[str, Any]) -> NDArray[Any]:
    image, window = manifest.open(row), manifest.window(row)
    height, width = image.sizes["Y"], image.sizes["X"]
    if window is None and height * width > MOST_PIXELS:
        half = int(MOST_PIXELS**0.5) // 2
        window = {"Y": slice(max(0, height // 2 - half), height // 2 + half),
                  "X": slice(max(0, width // 2 - half), width // 2 + half)}  # fmt: skip
    return image.crop(window)


def _alike(crops: Sequence[NDArray[Any]]) -> Iterator[tuple[int, int]]:
    """Where runs of pictures with as many channels start and stop."""
    start = 0
    for stop in range(1, len(crops) + 1):
        if stop == len(crops) or len(crops[stop]) != len(crops[start]):
            yield start, stop
            start = stop


def numbers_of(crops: Sequence[NDArray[Any]], families: Sequence[str] = ()) -> pd.DataFrame:
    """What is measured of pictures (C, H, W) with the same channels: one row a picture.

    >>> list(numbers_of([np.ones((1, 16, 16))]))[-2:]
    ['frame.c0.level', 'frame.c0.focus']
    """
    names, values = FRAME(crops)
    own = pd.DataFrame(values, columns=list(names))
    return pd.concat([own, features(crops, families)], axis=1) if families else own


def _bytes(paths: Mapping[str, Path]) -> float:
    try:
        return float(sum(path.stat().st_size for path in paths.values() if path.is_file()))
    except OSError:
        return float("nan")


def suspects_of(numbers: pd.DataFrame) -> list[Suspect]:
    """The suspects among what was measured: places in the frame together, the others each by itself.

    A number that is missing for a picture that could not be read takes the middle of the others.
    """
    found = []
    names = [str(name) for name in numbers]
    places = numbers[[name for name in names if name.partition("_")[0].endswith((".light", ".grain"))]]
    if len(places.columns) and places.notna().any(axis=None):
        filled = places.fillna(places.median()).fillna(0.0).to_numpy(np.float64)
        found.append(Suspect(PLACE, BACKGROUND, filled))
    for end, title in ((".level", LEVEL), (".focus", FOCUS), ("file", FILE)):
        columns = [numbers[name].to_numpy(np.float64) for name in names if name.endswith(end)]
        ranks = [of_numbers(cells) for cells in columns if len(np.unique(cells[np.isfinite(cells)])) > 1]
        if ranks:
            found.append(Suspect(title, MEASURED, np.concatenate(ranks, axis=1)))
    return found
