"""Who lives in a field: cells settle in a well at one hour, or are followed from frame to frame of a movie."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.simulate import scene
from potency.simulate.batch import FIELD, Wells
from potency.simulate.cells import TRAITS, Genes, rounded, traits
from potency.simulate.crops import ripen
from potency.simulate.field import Ground, Residents, corpses, scatter, together
from potency.simulate.lineage import Dish, Life
from potency.simulate.optics import Setting
from potency.simulate.world import World

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]
CORPSE = 8.0  # hours that a dead cell lies about


def settle(world: World, wells: Wells, well: int, fate: Ints, time: float, rng: np.random.Generator) -> Residents:
    """Cells of the given fates in one well at `time` hours, numbered from 1, with a few dead ones that are not."""
    cells, here = len(fate), np.full(len(fate), well)
    genes, ripe = Genes.of(rng, cells), ripen(rng, np.full(cells, time), wells.delay[here])
    y, x = scatter(rng, cells, world.field, 16 / world.pixel_size)
    shape = traits(genes, fate, ripe, wells.habit[here])
    level = scene.express(rng, fate, ripe)
    living = Residents(genes, shape, fate, ripe, level, y, x, np.arange(1, cells + 1))
    return together(living, corpses(rng, int(rng.poisson(0.04 * cells)), world.field))


def overview(wells: Wells, well: int, rng: np.random.Generator) -> Setting:
    """The setting of one picture of a whole field of a well."""
    middle = np.array([FIELD / 2], np.float32)
    return wells.photograph(rng, np.array([well]), middle, middle, FIELD)


@dataclass(frozen=True)
class Film:
    """One movie: all its tracks, what they look like for life, and the ground they crawl on."""

    lives: list[Life]
    hours: NDArray[np.float64]
    genes: Genes  # one row a track
    level: Floats  # (tracks, 4) brightness of stains before maturity
    habit: Floats  # (tracks, traits)
    ground: Ground
    pixel: float

    @classmethod
    def of(cls, world: World, wells: Wells, well: int, founders: int, rng: np.random.Generator) -> Film:
        """Grow the lineages of one movie."""
        hours = np.linspace(*world.hours, world.frames) if world.frames > 1 else np.array([world.hours[0]])
        taste = wells.taste[well].astype(float)
        dish = Dish(world.field, world.pixel_size, hours, taste / taste.sum(), float(wells.delay[well]), len(TRAITS))
        lives = dish.grow(rng, founders)
        luck = np.clip(np.array([life.luck for life in lives], np.float32), -2.5, 2.5)
        genes = replace(Genes.of(rng, len(lives)), luck=luck)
        ground = Ground.of(rng, world.field, world.pixel_size, float(wells.debris[well]))
        level = np.exp(0.35 * rng.standard_normal((len(lives), 4))).astype(np.float32)
        habit = np.repeat(wells.habit[well][None], len(lives), axis=0)
        return cls(lives, hours, genes, level, habit, ground, world.pixel_size)

    def alive(self, frame: int) -> list[Life]:
        """The tracks that are seen in a frame."""
        return [life for life in self.lives if life.begin <= frame <= life.end]

    def dead(self, frame: int) -> list[Life]:
        """The tracks whose corpse still lies about in a frame."""
        now = self.hours[frame]
        return [life for life in self.lives
                if life.ending == "dies" and life.end < frame and now - self.hours[life.end] < CORPSE]  # fmt: skip

    def residents(self, frame: int) -> Residents:
        """All that is to be drawn in a frame; the dead have no number."""
        now, alive, dead = float(self.hours[frame]), self.alive(frame), self.dead(frame)
        lives = alive + dead
        seen = [min(frame, life.end) - life.begin for life in lives]
        row = np.array([life.track - 1 for life in lives], np.int64)

        def column(values: list[float]) -> NDArray[np.float32]:
            return np.array(values, np.float32)

        fate = np.array([life.fate for life in lives], np.int64)
        ripe = column([life.maturity[at] for life, at in zip(lives, seen, strict=True)])
        ball = column([life.rounding[at] for life, at in zip(lives, seen, strict=True)])
        ball[len(alive) :] = 1
        genes = self.genes.take(row)
        shape = traits(genes, fate, ripe, self.habit[row])
        # Processes feel their way, daughters start small, the dead shrink.
        shape["length"] = shape["length"] * (1 + 0.22 * np.sin(0.7 * now + 7 * genes.bend)).astype(np.float32)
        age = column([now - life.born if life.parent else 9.0 for life in lives])
        shape["radius"] = shape["radius"] * (0.82 + 0.18 * np.clip(age / 8, 0, 1))
        shape = rounded(shape, ball)
        shape["radius"][len(alive) :] *= 0.72
        own = fate[:, None] == np.arange(4)[None]
        level = self.level[row] * (0.10 + 0.95 * ripe[:, None] * own)
        level[:, 0] = self.level[row, 0]
        y, x = (column([places[at] for places, at in zip(rows, seen, strict=True)])
                for rows in ([life.y for life in lives], [life.x for life in lives]))  # fmt: skip
        number = np.array([life.track for life in alive] + [0] * len(dead), np.int64)
        return Residents(genes, shape, fate, ripe, level, y, x, number)
