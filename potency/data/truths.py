"""Looks into the files of truth: what cannot be read, or is not of its image, is told of all rows at once."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from potency.data.columns import HELD
from potency.data.findings import Finding, some
from potency.errors import PotencyError

if TYPE_CHECKING:
    from potency.data.manifest import Manifest
    from potency.data.masks.annotation import Annotation

READ = ("regions", *HELD)  # kinds of truths whose files say of what size and form they are
LARGE = 2**26  # pixels of labels that are not read whole: only their size and type are looked at


class Truths:
    """The truths of a manifest, looked at row by row as they are learned from: each beside its image.

    Rows that are parts of images are left out, since a truth may be of the part or of the whole.
    """

    def __init__(self, manifest: Manifest) -> None:
        parts = any(str(name).startswith("tile.") for name in manifest.table)
        self.named = manifest.kinds.get("truth") in READ and not parts
        self.folder, self.wrong = manifest.folder, dict[str, str]()
        self.seen = set[tuple[str, str]]()
        self.labelled = manifest.kinds.get("truth") == "labels"
        self.lost, self.pieces = Counter[str](), list[int]()

    def look(self, row: Mapping[str, Any]) -> None:
        """Read the truth of a row, if it has one that is there: missing files are told elsewhere."""
        if not self.named or pd.isna(row["truth"]) or not (path := self.folder / str(row["truth"])).exists():
            return
        pair = str(row["truth"]), str(row["image"])
        if pair in self.seen:
            return
        self.seen.add(pair)
        try:
            self._count(_read(path, self.folder / pair[1]))
        except PotencyError as error:
            self.wrong[str(row["id"])] = f"{pair[0]}: {error.what}" + (f" ({error.mend})" if error.mend else "")

    def _count(self, found: Annotation | None) -> None:
        """What reading changed; and the pieces of an image's only object, 0 where there are several or none."""
        if found is not None:
            self.lost.update(found.lost)
            if self.labelled and found.labels is not None and len(found.objects):
                self.pieces.append(_pieces(found.labels) if len(found.objects) == 1 else 0)

    def warnings(self) -> Iterator[Finding]:
        """What is read otherwise than it may have been meant."""
        if self.pieces and min(self.pieces) >= 1 and max(self.pieces) > 1:
            many = sum(number > 1 for number in self.pieces)
            yield Finding("one-object", f"every mask holds one object, which lies in several pieces in {many} of "
                          f"{len(self.pieces)}", "", "if they only tell cells from ground, give each cell a number of "
                          "its own (in Fiji: Analyze Particles, count masks)")  # fmt: skip
        if self.lost:
            told = some([f"{what} ({number})" for what, number in self.lost.most_common()], 3, "; ")
            yield Finding("truth-lost", f"reading the truths left something out: {told}", "",
                          "mend the files if these are wanted")

    def findings(self) -> Iterator[Finding]:
        """What was found, if anything."""
        if self.wrong:
            yield Finding("truth", f"{len(self.wrong)} truths cannot be read or are not of their image",
                          some(list(self.wrong.values()), 5, "; "), "mend or export these files again, or leave the "
                          "cells empty", tuple(self.wrong))


def _pieces(labels: NDArray[np.uint32]) -> int:
    from scipy import ndimage

    return int(ndimage.label(labels > 0, np.ones((3,) * labels.ndim))[1])


def _read(path: Path, image: Path) -> Annotation | None:
    from potency.data import masks  # late: most truths are names or numbers
    from potency.data.masks.annotation import agreed

    plain = masks.numbered(path)
    if plain is None or math.prod(plain.shape) <= LARGE:
        return masks.read(path, image=image)
    wanted = masks.target_of(image, None).shape
    agreed((plain.sizes["Y"], plain.sizes["X"]), wanted and wanted[-2:], str(path))
    return None
