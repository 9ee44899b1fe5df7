"""Lineages: cells that crawl, round up, divide, commit to a fate, mature and die, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from potency.simulate.field import scatter

SPEED = (12.0, 5.0, 4.0, 6.0)  # micrometres an hour, of each fate
CYCLE = (14.0, np.inf, 26.0, 22.0)  # hours between divisions; neurons do not divide
DEATH = (0.004, 0.006, 0.003, 0.006)  # chance of dying in an hour
ROUNDING = 1.3  # hours before a division, and after it, that a cell is round
DYING = 2.5  # hours from the first rounding of a dying cell to its end


@dataclass
class Life:
    """One track: a cell from its birth (or the first frame) to its division, death or the last frame."""

    track: int  # 1, 2, 3 ...
    parent: int  # track of the mother, 0 = none
    founder: int  # track of the first ancestor
    begin: int  # first frame
    born: float  # hour
    divides: float  # hour, or infinity
    commits: float  # hour at which the fate begins to show
    fate: int  # what it will be; daughters of an uncommitted cell choose again
    dies: float  # hour, or infinity
    heading: float
    pace: float  # hours over which it matures
    luck: NDArray[np.float64]  # inherited part of its looks
    y: list[float] = field(default_factory=list)  # pixels, one a frame
    x: list[float] = field(default_factory=list)
    rounding: list[float] = field(default_factory=list)  # 0..1
    maturity: list[float] = field(default_factory=list)  # 0..1
    ending: str = "stays"  # or "divides", "dies"

    @property
    def end(self) -> int:
        """Last frame, inclusive."""
        return self.begin + len(self.y) - 1

    @property
    def committed(self) -> bool:
        """Whether its fate had begun to show when it was last seen."""
        return bool(self.maturity and self.maturity[-1] >= 0.25)


@dataclass(frozen=True)
class Dish:
    """Where and when lineages grow: `side` pixels of `pixel` micrometres, seen at `hours` (frames,)."""

    side: int
    pixel: float
    hours: NDArray[np.float64]
    taste: NDArray[np.floating]  # (fates,) how often each fate is chosen
    delay: float  # hours by which this clone is late
    looks: int  # length of `Life.luck`

    def grow(self, rng: np.random.Generator, founders: int) -> list[Life]:
        """Grow all lineages of `founders` cells and return every track, in the order of their numbers."""
        lives: list[Life] = []
        for y, x in zip(*scatter(rng, founders, self.side, 16 / self.pixel), strict=True):
            life = self._born(rng, len(lives) + 1, 0, None)
            life.born = float(self.hours[0] - rng.uniform(0, 10))
            life.divides = self._cycle(rng, life, float(self.hours[0]) - rng.uniform(0, 0.8) * 14)
            life.y, life.x = [float(y)], [float(x)]
            lives.append(life)
        alive = list(lives)
        for frame, hour in enumerate(self.hours):
            if frame:
                alive = self._step(rng, lives, alive, frame)
            for life in alive:
                self._age(life, float(hour))
        return lives

    def _born(self, rng: np.random.Generator, track: int, frame: int, mother: Life | None) -> Life:
        now = float(self.hours[frame])
        commits = rng.normal(40 + self.delay, 12) if mother is None else mother.commits + rng.normal(0, 2)
        fresh = mother is None or now < mother.commits
        fate = int(rng.choice(len(self.taste), p=self.taste)) if fresh or mother is None else mother.fate
        luck = rng.standard_normal(self.looks)
        if mother is not None:
            luck = 0.75 * mother.luck + 0.66 * luck
        death = now + rng.exponential(1 / DEATH[fate])
        family = (mother.track, mother.founder) if mother else (0, track)
        life = Life(track, *family, frame, now, np.inf, commits, fate, death,
                     rng.uniform(0, 2 * np.pi), 6.0 * np.exp(0.25 * rng.normal()), luck)  # fmt: skip
        life.divides = self._cycle(rng, life, now)
        return life

    def _cycle(self, rng: np.random.Generator, life: Life, since: float) -> float:
        """The hour of the next division of a cell whose cycle began at hour `since`."""
        length = CYCLE[0] * np.exp(0.18 * rng.normal())
        if since + length > life.commits + 8:  # by then it lives at the pace of its fate
            length = CYCLE[life.fate] * np.exp(0.18 * rng.normal())
        return float(max(since + length, self.hours[0] + 0.5))

    def _step(self, rng: np.random.Generator, lives: list[Life], alive: list[Life], frame: int) -> list[Life]:
        """Move, divide and bury all cells that were alive in the frame before; returns those alive in this one."""
        now, hours = float(self.hours[frame]), float(self.hours[frame] - self.hours[frame - 1])
        push = self._push(alive)
        after: list[Life] = []
        for life, (push_y, push_x) in zip(alive, push, strict=True):
            if now >= life.dies:
                life.ending = "dies"
                continue
            if now >= life.divides and life.dies - now > DYING:
                life.ending = "divides"
                after += self._divide(rng, lives, life, frame)
                continue
            slow = 1 - 0.9 * life.rounding[-1]
            life.heading += rng.normal(0, 0.7 * np.sqrt(hours))
            stride = SPEED[life.fate if life.committed else 0] * hours * slow * np.exp(0.4 * rng.normal()) / self.pixel
            y = life.y[-1] + stride * np.sin(life.heading) + push_y
            x = life.x[-1] + stride * np.cos(life.heading) + push_x
            if not (6 < y < self.side - 7 and 6 < x < self.side - 7):
                life.heading += np.pi  # turns round at the edge of the dish
            life.y.append(float(np.clip(y, 6, self.side - 7)))
            life.x.append(float(np.clip(x, 6, self.side - 7)))
            after.append(life)
        return after

    def _divide(self, rng: np.random.Generator, lives: list[Life], mother: Life, frame: int) -> Iterator[Life]:
        axis = rng.uniform(0, 2 * np.pi)
        for side in (-1, 1):
            child = self._born(rng, len(lives) + 1, frame, mother)
            apart = side * 6.0 / self.pixel
            child.y = [float(np.clip(mother.y[-1] + apart * np.sin(axis), 6, self.side - 7))]
            child.x = [float(np.clip(mother.x[-1] + apart * np.cos(axis), 6, self.side - 7))]
            child.heading = axis + (np.pi if side < 0 else 0)
            lives.append(child)
            yield child

    def _push(self, alive: list[Life]) -> NDArray[np.float64]:
        """Steps (cells, 2) by which cells that are too near give way."""
        if not alive:
            return np.zeros((0, 2))
        places = np.array([[life.y[-1], life.x[-1]] for life in alive])
        gap = places[:, None] - places[None]
        far = np.hypot(*np.moveaxis(gap, 2, 0)) + np.eye(len(alive)) * 1e9
        near = 15.0 / self.pixel
        force = np.maximum(0, near - far) / np.maximum(far, 0.5)
        return np.asarray(0.35 * (gap * force[..., None]).sum(1))

    def _age(self, life: Life, now: float) -> None:
        """Write rounding and maturity of this frame."""
        before = (life.divides - now) / ROUNDING if life.dies > life.divides else np.inf
        after = (now - life.born) / (1.5 * ROUNDING) if life.parent else np.inf
        dying = (life.dies - now) / DYING
        life.rounding.append(float(np.clip(1.15 - min(before, after, dying), 0, 1)))
        late = np.clip((life.commits - now) / life.pace, -50, 50)
        life.maturity.append(float(1 / (1 + np.exp(late))))


def tracks(lives: list[Life]) -> str:
    """The table `man_track.txt` of the Cell Tracking Challenge: track, first frame, last frame, parent.

    >>> tracks([])
    ''
    """
    return "".join(f"{life.track} {life.begin} {life.end} {life.parent}\n" for life in lives)
