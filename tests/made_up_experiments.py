"""Made-up experiments that the tests of the audit share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from potency.confounding.audit import examine
from potency.confounding.rules import Row
from potency.confounding.suspects import Suspect, of_column, of_numbers
from potency.data.manifest import Manifest

GROUPS, EACH = 12, 30


def rows(seed: int = 0, groups: int = GROUPS, classes: int = 2, pure: bool = False) -> tuple[Any, Any, Any]:
    """Codes of classes, their columns and groups: mixed inside groups, or one class a group."""
    random = np.random.default_rng(seed)
    group = np.repeat(np.arange(groups), EACH)
    whole = np.repeat(random.permutation(np.arange(groups) % classes), EACH)
    code = whole if pure else random.integers(0, classes, len(group))
    return code, np.eye(classes)[code], group


def numbers(name: str, values: Any, kind: str = "technical") -> Suspect:
    return Suspect(name, kind, of_numbers(np.asarray(values, float)))


def kinds(name: str, values: Any, kind: str = "technical") -> Suspect:
    made = of_column(name, kind, pd.Series([str(value) for value in values]))
    assert isinstance(made, Suspect)
    return made


def told_of(found: list[Suspect], truth: Any, group: Any, **more: Any) -> dict[str, Row]:
    names = tuple("abcdef"[: truth.shape[1]])
    return {row.suspect: row for row in examine(found, truth, names, group, draws=499, **more)[0]}


def shaded(folder: Path, corner: float, seed: int = 0, groups: int = 8) -> Manifest:
    """Noise with a shadow in the top left corner of class b, as a table of 160 small pictures in 8 groups."""
    import imagecodecs

    random = np.random.default_rng(seed)
    cells = []
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(20 * groups):
        label = "ab"[number % 2]
        plane = 1000 + 60 * random.standard_normal((32, 32))
        plane[10:22, 10:22] += 300 if label == "a" else 500  # the cells do differ
        if label == "b":
            plane[:6, :6] *= 1 - corner
        (folder / f"{number}.png").write_bytes(imagecodecs.png_encode(plane.clip(0, 65535).astype(np.uint16)))
        place = {"group": f"g{number // 2 % groups}", "well": f"A0{1 + number % 3}"}
        cells.append({"image": f"{number}.png", "truth": label, **place})
    return Manifest.of_rows(pd.DataFrame(cells), folder)


def table(**columns: Any) -> Manifest:
    size = len(next(iter(columns.values())))
    return Manifest.of_rows(pd.DataFrame({"image": [f"{k}.png" for k in range(size)], **columns}))


def table_of_figures(truth: Any, group: Any, plate: Any) -> Manifest:
    return table(truth=np.array(["a", "b"])[truth], group=group, plate=[f"plate{p}" for p in plate])
