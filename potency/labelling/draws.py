"""A part of the labels, drawn per class and in whole groups where possible; small parts lie inside large ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from potency.errors import PlanError

FRACTIONS = (0.01, 0.05, 0.1, 1.0)


def draw(
    strata: ArrayLike, groups: ArrayLike, fractions: Sequence[float] = FRACTIONS, seed: int = 0
) -> dict[float, NDArray[np.bool_]]:
    """Which rows are labelled at each fraction, (N,) each; the same seed gives the same draw to every method.

    The groups are put into a random order, the same for all classes, and a class is filled group by group, so that at
    most one group a class is torn. Each class keeps its share of rows, and at least one.

    Args:
        strata: (N,) the class of each row; one value where there are no classes.
        groups: (N,) what the rows belong to.
        fractions: of the rows, over 0 to 1.

    Raises:
        PlanError: a fraction that is none.

    >>> chosen = draw(list("aaaabbbb"), [1, 1, 2, 2, 1, 1, 2, 2], (0.5, 1.0), seed=1)
    >>> chosen[0.5].astype(int).tolist(), int(chosen[1.0].sum())
    ([0, 0, 1, 1, 0, 0, 1, 1], 8)
    """
    for fraction in fractions:
        if not 0 < fraction <= 1:
            raise PlanError(f"{fraction:g} is no share of the labels", "fractions", "give shares over 0 and up to 1")
    kinds, codes = np.unique(np.asarray(strata).astype(str), return_inverse=True)
    names, own = np.unique(np.asarray(groups).astype(str), return_inverse=True)
    rng = np.random.default_rng([seed, 10])
    place, noise = rng.permutation(len(names)), rng.random(len(codes))
    order = np.lexsort((noise, place[own]))  # group by group, at random inside
    chosen = {float(fraction): np.zeros(len(codes), bool) for fraction in fractions}
    for code in range(len(kinds)):
        rows = order[codes[order] == code]
        for fraction, mask in chosen.items():
            mask[rows[: max(1, round(fraction * len(rows)))]] = True
    return chosen
