"""The trivial answer to where objects are: what differs from the ground by more than Otsu's threshold, in one piece."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from potency.answers import Labels
from potency.answers.files import CLASS
from potency.data.gathering import moved
from potency.estimators.rules import foreground
from potency.systems.arms import Answered

if TYPE_CHECKING:
    from potency.data.manifest import Manifest

COLUMN, TRIVIAL = "prediction@trivial", "Otsu's threshold (trivial)"
LEAST = 16  # px of an object


def thresholded(answered: Answered, into: Path) -> Answered:
    """The answers with one more column, for the rows that a network has answered; its files lie in `into`.

    Where objects have classes all are called by the commonest class of the rows that the network has learned from (of
    all rows, where each was learned from in some fold).
    """
    import pandas as pd

    manifest = answered.manifest
    asked = manifest.table["prediction"].notna()
    common = commonest(manifest.where(~asked) if not asked.all() else manifest)
    found, ids = [], manifest.table["id"][asked].tolist()
    for row in manifest.where(asked).records():
        labels = pieces(np.asarray(manifest.open(row).crop(manifest.window(row))))
        told = pd.DataFrame({"label": np.arange(1, int(labels.max(initial=0)) + 1)})
        answer = Labels.of(labels, told.assign(**{CLASS: common}) if common else told)
        found.append(answer.cells(into, COLUMN))
    table = pd.DataFrame(found)
    paths = {name: moved(table[name], into, manifest.folder) for name in (COLUMN, f"{COLUMN}.objects")}
    made = manifest.add(table.assign(id=ids, **paths))
    return replace(answered, manifest=made, names={**answered.names, COLUMN: TRIVIAL})


def pieces(pixels: NDArray[Any]) -> NDArray[np.uint32]:
    """Objects of an image (C, H, W), brighter or darker than its ground, as labels (H, W).

    >>> image = np.zeros((1, 32, 32))
    >>> image[0, 4:12, 4:12], image[0, 20:28, 16:30] = 9, -9
    >>> int(pieces(image).max())
    2
    """
    from scipy import ndimage

    labels, _ = ndimage.label(foreground(pixels) > 0)
    large = np.bincount(labels.ravel()) >= LEAST
    large[0] = False
    return np.asarray(np.where(large, np.cumsum(large), 0)[labels], np.uint32)


def commonest(rows: Manifest) -> str:
    """The class that most true objects of some rows have; "" where they have none."""
    tables = [Labels.table_of(cells, rows.folder) for cells in _truths(rows)]
    counts = Counter(name for table in tables if table is not None and CLASS in table for name in table[CLASS])
    return str(counts.most_common(1)[0][0]) if counts else ""


def _truths(rows: Manifest) -> Sequence[dict[str, Any]]:
    names = {str(name): str(name).removeprefix("truth").removeprefix(".") for name in rows.table
             if str(name) == "truth" or str(name).startswith("truth.")}  # fmt: skip
    return [{names[name]: row[name] for name in names} for row in rows.records()]
