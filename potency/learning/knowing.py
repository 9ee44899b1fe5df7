"""After learning: where the training rows lie in each member's embedding, so that it can tell what is unlike them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from potency.bundle import Bundle, EstimatorMember
from potency.bundle.known import Known
from potency.bundle.member import Output
from potency.data.manifest import Manifest
from potency.inference.engine import accelerate
from potency.learning.estimate import crops_of

MOST = 1000  # training rows that are looked at, evenly through the table
BATCH, PIXELS = 64, 2**24  # crops that are looked at together, and their values at most
FEW = 200  # rows for which compiling a network takes longer than looking at them


def acquainted(
    bundle: Bundle, learned: Manifest, strata: Sequence[str], features: pd.DataFrame | None = None
) -> Bundle:
    """The bundle whose members know where the rows that they learned from lie; `strata` is the class of each row.

    A member whose network gives no embedding stays as it was, and so does one that gives maps. Features that were
    measured before, by row id, are taken instead of the images.
    """
    if bundle.task.maps:
        return bundle
    chosen = np.unique(np.linspace(0, len(learned) - 1, min(MOST, len(learned))).round().astype(int))
    rows = replace(learned, table=learned.table.iloc[chosen].reset_index(drop=True))
    of = dict(zip(rows.table["id"].astype(str), (strata[k] for k in chosen), strict=True))
    if features is not None and all(isinstance(member, EstimatorMember) for member in bundle.members):
        table = features.loc[list(of)]
        ids = list(table.index)
        seen = [_embeddings(member.of_features(table)) for member in bundle.members]  # type: ignore[attr-defined]
    else:
        ids, seen = _seen(bundle, rows)
    made = [
        member.knowing(Known.of(values, [of[str(name)] for name in ids])) if len(values) else member
        for member, values in zip(bundle.members, seen, strict=True)
    ]
    return replace(bundle, members=tuple(made), folder=None)


def _seen(bundle: Bundle, rows: Manifest) -> tuple[list[str], list[NDArray[np.float32]]]:
    """The ids of all crops of the rows, and what each member makes of them: (crops, F), F may be 0."""
    plans = bundle.card.plans
    high, wide = (max(plan.window[axis] for plan in plans) for axis in (0, 1))
    members = accelerate(bundle, engine="torch" if len(rows) < FEW else "auto").members
    ids: list[str] = []
    waiting: list[NDArray[Any]] = []
    found: list[list[NDArray[np.float32]]] = [[] for _ in members]

    def flush() -> None:
        samples = [{"image": crop} for crop in waiting]
        for member, pieces in zip(members, found, strict=True):
            pieces.append(_embeddings(member.outputs(samples)))
        waiting.clear()

    for name, crops in crops_of(rows, plans[0].but(tile=(high, wide), members=())):
        for crop in crops:
            ids.append(name)
            waiting.append(crop)
            if len(waiting) >= BATCH or len(waiting) * crop.size >= PIXELS:
                flush()
                if not any(pieces[0].size for pieces in found):  # no network of these embeds: nothing more to see
                    return [], [np.empty((0, 0), np.float32) for _ in found]
    if waiting:
        flush()
    return ids, [np.concatenate(pieces) if pieces and pieces[0].size else np.empty((0, 0), np.float32)
                 for pieces in found]  # fmt: skip


def _embeddings(outputs: Sequence[Output]) -> NDArray[np.float32]:
    told = [output["embedding"].reshape(-1) for output in outputs if "embedding" in output]
    return np.stack(told) if told else np.empty((0, 0), np.float32)
