"""Whether the objects of an image that is cut into tiles are small: what one tile shows would differ from the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from potency.answers.labels import diameter
from potency.data.tiles import Tile

if TYPE_CHECKING:
    from potency.bundle import Bundle
    from potency.data.plan import Plan
    from potency.inference.view import View

LOOKS, SIDE = 3, 512  # windows along each side of a large image that are looked at, and their size (px)


def shows_small(bundle: Bundle, view: View, plan: Plan) -> bool:
    """Whether the objects in windows spread over all of an image are smaller than what is better seen larger."""
    high, wide = (min(SIDE, side) for side in view.shape)
    starts = [np.unique(np.linspace(0, side - least, LOOKS).astype(int))
              for side, least in zip(view.shape, (high, wide), strict=True)]  # fmt: skip
    given = {**view.given(plan), "closer": np.asarray(False)}
    seen = [bundle([{"image": view.crop(Tile(int(y), int(x), high, wide)), **given}])[0]
            for y in starts[0] for x in starts[1]]  # fmt: skip
    return diameter(seen) < plan.closer
