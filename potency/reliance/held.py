"""Which model may be asked for which row: one that has not learned from it, as far as anything tells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from potency.errors import ImageError, PlanError

if TYPE_CHECKING:
    from potency.bundle import Bundle
    from potency.data.manifest import Manifest

FOLDS, RUN_ROWS = "folds", "predictions.parquet"
NEVER = ("test", "external")
UNTOLD = "Nothing tells whether the model has learned from these rows; if it has, every figure here flatters."
SEEN = "The model HAS LEARNED from these very rows: its figures flatter, those of plain numbers do not."


@dataclass(frozen=True, eq=False)
class Held:
    """Rows, and for each the number of the bundle that is asked.

    Attributes:
        rows: with a truth; only those that a bundle may be asked for.
        bundles: one, or one a fold.
        asked: (N,) which of them answers each row.
        how: in words, why these rows were not learned from.
        warning: what must be said on the face where that is not sure; else "".
        left: rows with a truth that no model may be asked for.
        learned: rows that the table marks as those the model learned from, where it does.
    """

    rows: Manifest
    bundles: tuple[Bundle, ...]
    asked: NDArray[np.intp]
    how: str
    warning: str = ""
    left: int = 0
    learned: Manifest | None = None

    def each(self) -> Iterator[tuple[Bundle, NDArray[np.intp]]]:
        """Each bundle with the positions of its rows."""
        for number, bundle in enumerate(self.bundles):
            yield bundle, np.flatnonzero(self.asked == number)

    def some(self, mask: NDArray[np.bool_]) -> Held:
        """Only some of the rows."""
        from dataclasses import replace

        return replace(self, rows=self.rows.where(mask.tolist()), asked=self.asked[mask])


def held(manifest: Manifest, model: str | Path | Bundle, even_seen: bool = False) -> Held:
    """The rows of a manifest that a model may be asked for, and by which of its bundles.

    A run of `potency train` (its folder, or its `bundle`) answers each row by the model of the fold that left it out. A
    single bundle answers rows that the table marks `split` = test or external; else all of them, with a warning.

    Raises:
        PlanError: the bundle has learned from these very rows and nothing marks a test (unless `even_seen`).
        BundleError: there is no such bundle.
    """
    from potency.bundle import Bundle

    known = manifest.where(manifest.table["truth"].notna())
    if isinstance(model, Bundle):
        return _single(known, model, str(model.folder or "the bundle"), even_seen)
    for run in (Path(model), Path(model).parent):
        if (run / FOLDS).is_dir() and (run / RUN_ROWS).is_file() and (found := _folds(known, run)) is not None:
            return found
    inner = Path(model) / "bundle"
    return _single(known, Bundle.load(inner if inner.is_dir() else model), str(model), even_seen)


def _folds(manifest: Manifest, run: Path) -> Held | None:
    """Each row by the model of its fold; None where none of the rows is one of that run."""
    from potency.bundle import Bundle

    there = pd.read_parquet(run / RUN_ROWS, columns=["id", "fold"])
    fold_of = dict(zip(there["id"].astype(str), there["fold"], strict=True))
    folds = np.array([fold_of.get(str(name), -1) for name in manifest.table["id"]], int)
    places = {k: run / FOLDS / f"network-{k}" / "bundle" for k in sorted({int(k) for k in folds if k >= 0})}
    places = {k: place for k, place in places.items() if (place / "card.json").is_file()}
    mask = np.isin(folds, list(places))
    if not mask.any():
        return None
    rows = manifest.where(mask.tolist())
    asked = np.searchsorted(list(places), folds[mask])
    how = f"Each row was answered by the model of its fold, {len(places)} in all, which had not seen its group."
    return Held(rows, tuple(map(Bundle.load, places.values())), asked, how, left=int((~mask).sum()))


def _single(manifest: Manifest, bundle: Bundle, where: str, even_seen: bool) -> Held:
    table = manifest.table
    marked = table["split"].isin(NEVER).to_numpy() if "split" in table else np.zeros(len(table), bool)
    if marked.any():
        how = "Only rows that the table marks as test or external were asked for."
        rows, left = manifest.where(marked.tolist()), int((~marked).sum())
        learned = manifest.where(table["split"].eq("train").tolist())
        if len(learned):
            how += " Plain numbers learn from its train rows, as the model did."
            how += (" The model's card confirms that it learned from exactly these." if _same(bundle, learned) else
                    " That the model learned from these alone is the table's word.")  # fmt: skip
        return Held(rows, (bundle,), np.zeros(len(rows), np.intp), how, "", left, learned if len(learned) else None)
    warning, how = UNTOLD, "All rows were asked for."
    if _same(bundle, manifest):
        if not even_seen:
            raise PlanError(
                "the model has learned from these very rows", where,
                "name the folder of its run, so that each row is answered by a fold that left it out; or mark test "
                "rows in a column split; or say --even-seen",
            )  # fmt: skip
        warning = SEEN
    return Held(manifest, (bundle,), np.zeros(len(manifest), np.intp), how, warning)


def _same(bundle: Bundle, rows: Manifest) -> bool:
    """Whether these are exactly the rows the bundle learned from, by its card."""
    try:
        return bool(bundle.card.data.get("fingerprint") == rows.fingerprint())
    except ImageError:  # a file is missing: it is told when it is read, and these are not all rows of any training
        return False
