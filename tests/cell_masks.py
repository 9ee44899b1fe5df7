"""Label images that tests measure: a simulated field of cells, and noise that is as odd as labels can be."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.simulate.survey import visits
from potency.simulate.world import World, wells_of


@cache
def simulated() -> tuple[NDArray[Any], NDArray[Any]]:
    """A field of cells, many of which touch: labels (Y, X) and picture (1, Y, X)."""
    world = World(look="fluorescence", cells=60, groups=1, wells=1, field=256, seed=4)
    field = next(iter(visits(world, wells_of(world)))).field
    return field.labels, np.stack(list(field.pictures.values()))[:1]


def noise(seed: int = 0, ids: int = 6) -> tuple[NDArray[Any], NDArray[Any]]:
    """Objects in many pieces with many holes, at every border, and two channels of noise."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, ids, (40, 53)) * random.integers(0, 2, (40, 53))
    return labels.astype(np.int32), random.normal(50, 20, (2, 40, 53))
