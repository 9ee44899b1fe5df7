"""What a map of an embedding says, in numbers and in words: classes, groups, and which of them it shows more."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from potency.data.manifest import Manifest
from potency.embedding.nearest import Purity, directions, purity

NEIGHBOURS = 10
MOST = 3000  # points that a silhouette is taken of
CLEAR, FAINT = 0.2, 0.05  # gains over chance


@dataclass(frozen=True)
class Reading:
    """What neighbourhoods are made of; each None where the rows do not allow it.

    Attributes:
        classes: same class among neighbours of other groups.
        groups: same group among neighbours of the same class.
        silhouette: mean silhouette (cosine) by "class" and by "group"; -1 to 1.
        verdict: in words.
        mark: "good", "caution", "bad" or "unknown".
    """

    classes: Purity | None
    groups: Purity | None
    silhouette: dict[str, float]
    verdict: str
    mark: str


def read(values: NDArray[np.float32], rows: pd.DataFrame, manifest: Manifest) -> Reading:
    """Read an embedding (N, F) of rows with `group`, and `truth` where they are classes."""
    labelled = manifest.kinds.get("truth") in ("category", "ordinal") and "truth" in rows
    keep = rows["truth"].notna().to_numpy() if labelled else np.ones(len(rows), bool)
    values, rows = values[keep], rows[keep]
    truth = pd.factorize(rows["truth"].astype(str))[0] if labelled else np.zeros(len(rows), np.intp)
    group = pd.factorize(rows["group"].astype(str))[0] if manifest.groups_known else np.arange(len(rows))
    by_class = by_group = None
    if labelled and len(set(truth)) > 1:
        by_class = purity(values, truth, apart=group, count=NEIGHBOURS)
    if manifest.groups_known and len(set(group)) > 1:
        by_group = purity(values, group, within=truth, count=NEIGHBOURS)
    shapes = {name: _silhouette(values, codes) for name, codes, wanted in (
        ("class", truth, by_class is not None), ("group", group, by_group is not None)) if wanted}  # fmt: skip
    by_class, by_group = (None if found is None or not found.points else found for found in (by_class, by_group))
    return Reading(by_class, by_group, shapes, *_verdict(by_class, by_group))


def _silhouette(values: NDArray[np.float32], codes: NDArray[np.intp]) -> float:
    from sklearn.metrics import silhouette_score

    chosen = np.random.default_rng(0).permutation(len(values))[:MOST]
    kinds = codes[chosen]
    if not 1 < len(np.unique(kinds)) < len(kinds):
        return float("nan")
    return float(silhouette_score(directions(values[chosen]), kinds, metric="cosine"))


def _verdict(classes: Purity | None, groups: Purity | None) -> tuple[str, str]:
    """The written rule: a group gain of FAINT or more is said, one that is CLEAR and beats the classes is a warning."""
    if classes is None and groups is None:
        return "Neither classes nor groups are known: the map can be looked at, not judged.", "unknown"
    told = []
    if classes is not None:
        word = "clearly" if classes.gain >= CLEAR else "faintly" if classes.gain >= FAINT else "not"
        told.append(
            f"Classes are {word} told apart: {_said(classes)} of a row's {NEIGHBOURS} nearest neighbours from other "
            "groups are of its class."
        )
    if groups is None:
        return " ".join([*told, "Groups are unknown, so whether the map shows them cannot be said."]), "unknown"
    told.append(f"Within a class, {_said(groups)} of the neighbours are of the row's own group.")
    more = classes is not None and groups.gain >= classes.gain
    if groups.gain >= FAINT and more:
        told.append("The map shows groups more than classes: a confounder, look at what the groups share.")
        return " ".join(told), "bad"
    if groups.gain >= CLEAR:
        told.append("Groups are clearly to be seen too: what they share may stand in for the class.")
        return " ".join(told), "caution"
    return " ".join(told), "good" if classes is not None and classes.gain >= CLEAR else "caution"


def _said(found: Purity) -> str:
    return f"{100 * found.share:.0f} % (by chance {100 * found.chance:.0f} %)"
