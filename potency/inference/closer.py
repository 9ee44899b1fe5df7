"""Images whose objects are small are seen at twice their size: which, decided once for an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from potency.data.tiles import Tile

if TYPE_CHECKING:
    from potency.answers import Answer
    from potency.bundle import Bundle, Member
    from potency.data.plan import Plan
    from potency.inference.view import View

LOOKS, SIDE = 3, 512  # windows along each side of a large image that are looked at, and their size (px)


def able(members: Sequence[Member], plan: Plan) -> bool:
    """Whether a plan asks for it, of networks that can: those of a finite reach, whose maps are brought back."""
    return plan.closer > 0 and all(member.reach is not None for member in members)


def diameter(answers: Sequence[Answer]) -> float:
    """The median diameter in px (of a disc of the object's area) of all objects; inf where there is none.

    >>> from potency.answers import Labels
    >>> round(diameter([Labels.of(np.array([[0, 1, 1], [0, 1, 1]]))]), 2)
    2.26
    """
    from potency.answers import Labels

    areas = [one.objects["area"].to_numpy(float) for one in answers if isinstance(one, Labels)]
    found = np.concatenate(areas) if areas else np.zeros(0)
    return float(2 * np.sqrt(np.median(found) / np.pi)) if len(found) else np.inf


def shows_small(bundle: Bundle, view: View, plan: Plan) -> bool:
    """Whether the objects of an image that is cut into tiles are small, seen in windows spread over all of it."""
    high, wide = (min(SIDE, side) for side in view.shape)
    starts = [np.unique(np.linspace(0, side - least, LOOKS).astype(int))
              for side, least in zip(view.shape, (high, wide), strict=True)]  # fmt: skip
    seen = [bundle([{"image": view.crop(Tile(int(y), int(x), high, wide)), **view.given(plan)}])[0]
            for y in starts[0] for x in starts[1]]  # fmt: skip
    return diameter(seen) < plan.closer
