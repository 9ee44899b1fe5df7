"""The cheap part of the audit, for the report of every training: columns and pictures, in seconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from potency.confounding.audit import audit
from potency.confounding.exchange import FEWEST
from potency.errors import PotencyError

if TYPE_CHECKING:
    from potency.data.manifest import Manifest

MOST_ROWS, DRAWS = 1500, 999
MOST_PIXELS = 2**20  # of a picture; larger ones would take minutes to read again


def brief(
    manifest: Manifest, *, seed: int = 0, progress: Callable[[float, float, str], object] | None = None
) -> dict[str, Any]:
    """What the report says of shortcuts, as its fact "audit"; no fact where it is not sensible to ask.

    It is asked of classes and numbers, from 6 groups on. Pictures are measured where they are small (crops); of more
    than 1,500 rows as many of every group are looked at.
    """
    asked = manifest.kinds.get("truth") in ("category", "ordinal", "number")
    if not asked or manifest.table["group"].nunique() < FEWEST:
        return {}
    try:
        sizes = manifest.open(manifest.table.iloc[0]).sizes
        small = "tile.y" in manifest.table or sizes["Y"] * sizes["X"] <= MOST_PIXELS
        parts = ("pictures",) if small else ()
        found = audit(manifest, parts=parts, draws=DRAWS, seed=seed, most=MOST_ROWS, progress=progress)
    except PotencyError:  # whatever is wrong with the rows is told by those who must use them
        return {}
    return {"audit": found.facts_of_report()}
