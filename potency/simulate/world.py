"""The world: everything that decides what is simulated, in one small object that is written beside the pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

import numpy as np

from potency.errors import PlanError, nearest
from potency.simulate.batch import Wells
from potency.simulate.cells import FATES
from potency.simulate.scene import LOOKS


@dataclass(frozen=True)
class World:
    """A simulated experiment; sizes in pixels unless the comment says otherwise.

    >>> World(cells=10, classes=2).fates
    ('stem', 'neuron')
    """

    look: str = "brightfield"  # one of LOOKS
    classes: int = 4  # how many fates, of FATES in order
    cells: int = 600  # crops: how many; fields, movie, wells: how many a field
    groups: int = 12  # clones, each on a plate of its own
    wells: int = 4  # per plate
    seed: int = 0
    shortcut: float = 0.0  # 0 = none; else the probability that a plate artefact agrees with the label
    size: int = 64  # side of a crop; fields, movies and wells are `field` wide
    field: int = 512
    pixel_size: float = 0.65  # micrometres
    hours: tuple[float, float] = (48.0, 120.0)  # when pictures are taken, since the start of differentiation
    batch: float = 1.0  # strength of donor, clone, plate and well effects
    density: float = 0.25  # chance that a neighbour reaches into a crop
    frames: int = 24  # of a movie

    @property
    def fates(self) -> tuple[str, ...]:
        """Names of the classes in order."""
        return FATES[: self.classes]

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels that the look takes."""
        return LOOKS[self.look]

    @classmethod
    def of(cls, settings: Mapping[str, object]) -> World:
        """A world from named settings; all that is wrong with them is said at once.

        Raises PlanError for an unknown name or an impossible value.
        """
        known = [f.name for f in fields(cls)]
        wrong = [f"unknown setting {name!r}, {nearest(name, known)}" for name in settings if name not in known]
        if wrong:
            raise PlanError("; ".join(wrong), "settings of the simulator", "use the names of potency.simulate.World")
        world = cls(**settings)  # type: ignore[arg-type]
        world.check()
        return world

    def check(self) -> None:
        """Raise PlanError naming every impossible value."""
        wrong = [] if self.look in LOOKS else [f"look {self.look!r} is unknown, {nearest(self.look, LOOKS)}"]
        least = {"cells": 1, "groups": 1, "wells": 1, "frames": 1, "size": 16, "field": 64, "seed": 0}
        wrong += [f"{name} is {getattr(self, name)!r}, at least {low} is needed"
                  for name, low in least.items()
                  if not isinstance(getattr(self, name), int) or getattr(self, name) < low]  # fmt: skip
        wrong += [] if self.classes in range(2, len(FATES) + 1) else [f"classes is {self.classes!r}, must be 2 to 4"]
        wrong += [f"{name} is {getattr(self, name)!r}, must lie between 0 and 1"
                  for name in ("shortcut", "density") if not 0 <= getattr(self, name) <= 1]  # fmt: skip
        wrong += [] if 0.1 <= self.pixel_size <= 3 else [f"pixel_size is {self.pixel_size!r}, must be 0.1 to 3 um"]
        wrong += [] if 0 <= self.hours[0] <= self.hours[1] else [f"hours are {self.hours!r}, must be first <= last"]
        wrong += [] if self.batch >= 0 else [f"batch is {self.batch!r}, must not be negative"]
        if wrong:
            raise PlanError("; ".join(wrong), "settings of the simulator", "change these settings")

    def parameters(self) -> dict[str, object]:
        """All settings by name, for `parameters.json`."""
        return {"simulated": True, **asdict(self), "hours": list(self.hours), "fates": list(self.fates),
                "channels": list(self.channels)}  # fmt: skip


def wells_of(world: World) -> Wells:
    """The wells of a world: the same for every kind of experiment with the same seed, groups and wells."""
    return Wells.of(np.random.default_rng([world.seed, 1]), world.groups, world.wells, world.classes, world.batch)
