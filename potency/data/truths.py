"""Looks into the files of truth: what cannot be read, or is not of its image, is told of all rows at once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from potency.data.columns import HELD
from potency.data.findings import Finding, some
from potency.errors import PotencyError

if TYPE_CHECKING:
    from potency.data.manifest import Manifest

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

    def look(self, row: Mapping[str, Any]) -> None:
        """Read the truth of a row, if it has one that is there: missing files are told elsewhere."""
        if not self.named or pd.isna(row["truth"]) or not (path := self.folder / str(row["truth"])).exists():
            return
        pair = str(row["truth"]), str(row["image"])
        if pair in self.seen:
            return
        self.seen.add(pair)
        try:
            _read(path, self.folder / pair[1])
        except PotencyError as error:
            self.wrong[str(row["id"])] = f"{pair[0]}: {error.what}" + (f" ({error.mend})" if error.mend else "")

    def findings(self) -> Iterator[Finding]:
        """What was found, if anything."""
        if self.wrong:
            yield Finding("truth", f"{len(self.wrong)} truths cannot be read or are not of their image",
                          some(list(self.wrong.values()), 5, "; "), "mend or export these files again, or leave the "
                          "cells empty", tuple(self.wrong))


def _read(path: Path, image: Path) -> None:
    from potency.data import masks  # late: most truths are names or numbers
    from potency.data.masks.annotation import agreed

    plain = masks.numbered(path)
    if plain is None or math.prod(plain.shape) <= LARGE:
        masks.read(path, image=image)
        return
    wanted = masks.target_of(image, None).shape
    agreed((plain.sizes["Y"], plain.sizes["X"]), wanted and wanted[-2:], str(path))
