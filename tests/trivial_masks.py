"""What a stand-in for learning says in place of the trivial baseline: Otsu's threshold, and what hangs together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage

from potency.answers import Labels
from potency.data.gathering import moved
from potency.data.manifest import Manifest
from potency.estimators.rules import foreground

COLUMN = "prediction@trivial"


def trivial(manifest: Manifest, rows: Manifest, into: Path, kind: str = "") -> pd.DataFrame:
    """Columns of labels for `rows`, their files beside those of `manifest`; every object is of one kind."""
    found = []
    for row in rows.records():
        pixels = np.asarray(rows.open(row).crop(rows.window(row)))
        labels, count = ndimage.label(foreground(pixels) > 0)
        told = pd.DataFrame({"label": np.arange(1, count + 1)})
        answer = Labels.of(labels.astype(np.uint32), told.assign(**{"class": kind}) if kind else told)
        found.append(answer.cells(into, COLUMN))
    table = pd.DataFrame(found)
    paths = {name: moved(table[name], into, manifest.folder) for name in (COLUMN, f"{COLUMN}.objects")}
    return table.assign(id=rows.table["id"].tolist(), **paths)
