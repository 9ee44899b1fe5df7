"""The world: everything that decides what is simulated, in one small object that is written beside the pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

import numpy as np

from potency.errors import PlanError, nearest
from potency.simulate.batch import Wells
from potency.simulate.cells import FATES
from potency.simulate.scene import LOOKS

LIMITS: dict[str, tuple[type, float, float]] = {
    "classes": (int, 2, len(FATES)), "cells": (int, 1, 10_000_000), "groups": (int, 1, 10_000), "wells": (int, 1, 60),
    "seed": (int, 0, 2**63 - 1), "shortcut": (float, 0, 1), "size": (int, 16, 512), "field": (int, 64, 8192),
    "pixel_size": (float, 0.05, 3), "batch": (float, 0, 10), "density": (float, 0, 1), "frames": (int, 1, 1000),
    "onset": (float, 0, 10_000), "ripening": (float, 0.01, 1000), "wash": (float, 0, 10_000),
}  # fmt: skip


@dataclass(frozen=True)
class World:
    """A simulated experiment; sizes in pixels unless the comment says otherwise.

    >>> World(cells=10, classes=2).fates
    ('stem', 'neuron')
    """

    look: str = "brightfield"  # one of LOOKS
    classes: int = 4  # how many fates, of FATES in order
    cells: int = 600  # in all, dealt evenly over the wells; of a movie, those it starts with
    groups: int = 12  # clones, each on a plate of its own
    wells: int = 4  # per plate
    seed: int = 0
    shortcut: float = 0.0  # 0 = none; else the probability that a plate artefact agrees with the label
    size: int = 64  # side of a crop; fields, movies and wells are `field` wide
    field: int = 512
    pixel_size: float = 0.65  # micrometres
    hours: tuple[float, float] = (60.0, 120.0)  # when pictures are taken, since the start of differentiation
    batch: float = 1.0  # strength of donor, clone, plate and well effects
    density: float = 0.25  # chance that a neighbour reaches into a crop
    frames: int = 24  # of a movie, a course or a track
    onset: float = 24.0  # hour before which nothing can be seen, in courses, inductions and tracks
    ripening: float = 20.0  # hours that a cell takes to change, there
    wash: float = 0.0  # hour at which courses and inductions are washed, 0 = never

    @property
    def fates(self) -> tuple[str, ...]:
        """Names of the classes in order."""
        return FATES[: self.classes]

    @property
    def lineages(self) -> int:
        """How many lineages tracked cells choose from: all fates of the world but the stem cell's, two at least."""
        return max(2, self.classes - 1)

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
        wrong = [] if self.look in LOOKS else [f"look {self.look!r} is unknown, {nearest(str(self.look), LOOKS)}"]
        for name, (kind, low, high) in LIMITS.items():
            value = getattr(self, name)
            fits = isinstance(value, (int, float) if kind is float else int) and not isinstance(value, bool)
            if not fits or not low <= value <= high:
                wrong.append(
                    f"{name} is {value!r}, must be {'a whole' if kind is int else 'a'} number from {low} to {high}"
                )
        if isinstance(self.size, int) and self.size % 2:
            wrong.append(f"size is {self.size!r}, must be even")
        hours = self.hours
        if not (isinstance(hours, tuple | list) and len(hours) == len(("first", "last")) and 0 <= hours[0] <= hours[1]):
            wrong.append(f"hours are {hours!r}, must be the first and the last, not before 0")
        if wrong:
            raise PlanError("; ".join(wrong), "settings of the simulator", "change these settings")

    def parameters(self) -> dict[str, object]:
        """All settings by name, for `parameters.json`."""
        return {"simulated": True, **asdict(self), "hours": list(self.hours), "fates": list(self.fates),
                "channels": list(self.channels)}  # fmt: skip


def wells_of(world: World) -> Wells:
    """The wells of a world: the same for every kind of experiment with the same seed, groups and wells."""
    return Wells.of(np.random.default_rng([world.seed, 1]), world.groups, world.wells, world.classes, world.batch)
