"""Courses: the same wells seen again and again, nothing to see before the onset, debris until the wash."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.simulate import artefact, scene
from potency.simulate.batch import Wells
from potency.simulate.cells import Genes, traits
from potency.simulate.field import Ground, Residents, corpses, scatter, take, together
from potency.simulate.population import overview
from potency.simulate.survey import NEURON, OUTCOMES, efficiencies
from potency.simulate.world import World, wells_of
from potency.simulate.write import mask, microscope, table

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]
Progress = Callable[[int, int], None]
Row = dict[str, object]
CONDITIONS = ("control", "induced")
LOOSE = 3  # layers of debris that gather one by one, and go with the wash
CRAWL = 3.0  # micrometres an hour


def emerged(hours: float | Floats, start: Floats, ripening: float) -> Floats:
    """Maturity 0..1 at `hours` of cells that begin at hour `start`: exactly 0 until then, 1 after `ripening` hours.

    >>> emerged(30.0, np.array([30.0, 20.0, 5.0]), 20.0).tolist()
    [0.0, 0.5, 1.0]
    """
    along = np.clip((hours - start) / ripening, 0, 1)
    return np.asarray(along * along * (3 - 2 * along), np.float32)


def starts(rng: np.random.Generator, world: World, cells: int, late: float) -> Floats:
    """The hour (cells,) at which each cell begins to change: never before the onset, `late` wells later."""
    wait = rng.gamma(2.0, 0.25, cells) * world.ripening * np.exp(late)
    return np.asarray(world.onset + wait, np.float64)


@dataclass(frozen=True)
class Colony:
    """The cells of one well for the whole course, and the ground they lie on."""

    genes: Genes
    fate: Ints
    start: Floats  # hour at which each begins to change
    level: Floats  # (cells, 4) brightness of stains
    habit: Floats  # (cells, traits)
    y: Floats  # (frames, cells) pixels
    x: Floats
    ground: Ground
    loose: list[Floats]  # debris that the wash takes away
    dead: tuple[Residents, Residents]  # those that the wash takes, those that stay

    @classmethod
    def of(cls, rng: np.random.Generator, world: World, wells: Wells, well: int, share: Floats, late: float) -> Colony:
        """Draw the well; `share` (classes,) is how often each fate is taken."""
        cells = int(np.bincount(np.arange(world.cells) % len(wells), minlength=len(wells))[well])
        genes, fate = Genes.of(rng, cells), rng.choice(world.classes, cells, p=share)
        y, x = scatter(rng, cells, world.field, 16 / world.pixel_size)
        gap = (world.hours[1] - world.hours[0]) / max(1, world.frames - 1)
        stride = CRAWL * np.sqrt(min(gap, 24.0)) / world.pixel_size
        walk = stride * rng.standard_normal((2, world.frames, cells)).cumsum(1)
        area, debris = (world.field / 64) ** 2, float(wells.debris[well])
        loose = [scene.specks(rng, np.array([2 * debris * area]), world.field, world.pixel_size)[0]
                 for _ in range(LOOSE)]  # fmt: skip
        gone, stay = (corpses(rng, int(rng.poisson(rate * cells)), world.field) for rate in (0.15, 0.03))
        return cls(
            genes, fate, starts(rng, world, cells, late + 0.03 * float(wells.delay[well])),
            np.exp(0.35 * rng.standard_normal((cells, 4))).astype(np.float32),
            np.repeat(wells.habit[well][None], cells, axis=0),
            np.clip(y + walk[0], 5, world.field - 6), np.clip(x + walk[1], 5, world.field - 6),
            Ground.of(rng, world.field, world.pixel_size, debris), loose, (gone, stay),
        )  # fmt: skip

    def ripe(self, hour: float, world: World) -> Floats:
        """Maturity (cells,) at an hour."""
        return emerged(hour, self.start, world.ripening)

    def residents(self, frame: int, hour: float, world: World) -> Residents:
        """All that is to be drawn at a visit; the dead have no number."""
        ripe, own = self.ripe(hour, world), self.fate[:, None] == np.arange(4)
        level = self.level * (0.10 + 0.95 * ripe[:, None] * own).astype(np.float32)
        level[:, 0] = self.level[:, 0]
        shape = traits(self.genes, self.fate, ripe, self.habit)
        y, x = self.y[frame].astype(np.float32), self.x[frame].astype(np.float32)
        living = Residents(self.genes, shape, self.fate, ripe, level, y, x, np.arange(1, len(y) + 1))
        seen = together(living, self.dead[1])
        return seen if washed(hour, world) else together(seen, self.dead[0])

    def below(self, hour: float, world: World) -> Ground:
        """The ground at a visit: loose debris gathers until the wash takes it."""
        if washed(hour, world):
            return self.ground
        first, last = world.hours[0], world.wash or world.hours[1]
        layers = 1 + min(LOOSE - 1, int(LOOSE * (hour - first) / max(last - first, 1e-9)))
        return replace(self.ground, path=self.ground.path + sum(self.loose[:layers], np.zeros((), np.float32)))


def washed(hour: float, world: World) -> bool:
    """Whether the wells have been washed by then; a world with `wash` 0 never washes."""
    return 0 < world.wash <= hour


def hours_of(world: World) -> Floats:
    """The hours (frames,) at which pictures are taken."""
    return np.round(np.linspace(*world.hours, world.frames), 4)


def courses(world: World, folder: Path, progress: Progress) -> list[str]:
    """Wells that turn out efficient or not, seen from before the onset on."""
    wells = wells_of(world)
    efficiency = efficiencies(world, wells)
    taste = np.where(np.arange(world.classes) == NEURON, 0, wells.taste.astype(float))
    share = taste / taste.sum(1, keepdims=True) * (1 - efficiency[:, None])
    share[:, NEURON] = efficiency
    rows = [{"label": OUTCOMES[int(good > 0.5)], "efficiency": round(float(good), 4)} for good in efficiency]
    _follow(world, folder, progress, share, rows, 0.8 * (0.5 - efficiency))
    return ["labels.csv      one row a visit: file, label (outcome of the well), efficiency (chance of a cell to",
            "                become a neuron), " + _COLUMNS[0], *_COLUMNS[1:]]  # fmt: skip


def inductions(world: World, folder: Path, progress: Progress) -> list[str]:
    """Wells of which every other was induced: its cells change from the onset on, those of the control never."""
    wells = wells_of(world)
    turn = np.random.default_rng([world.seed, 3]).integers(0, 2, world.groups)
    induced = (np.arange(len(wells)) + turn[wells.group]) % 2
    share = np.zeros((len(wells), world.classes))
    share[np.arange(len(wells)), np.where(induced == 1, NEURON, 0)] = 1
    rows: list[Row] = [{"label": CONDITIONS[one]} for one in induced]
    _follow(world, folder, progress, share, rows, np.zeros(len(wells)))
    return ["labels.csv      one row a visit: file, label (condition of the well), " + _COLUMNS[0], *_COLUMNS[1:]]


def _follow(world: World, folder: Path, progress: Progress, share: Floats, truth: list[Row], late: Floats) -> None:
    """Visit every well at every hour; `truth` (wells) is what the row of each well says of its outcome."""
    wells = wells_of(world)
    labels = wells.labels(np.arange(len(wells)))
    names = sorted({str(row["label"]) for row in truth} | set(OUTCOMES if "efficiency" in truth[0] else CONDITIONS))
    outcome = np.array([names.index(str(row["label"])) for row in truth])
    rng = np.random.default_rng([world.seed, 5])
    planted = artefact.choose(rng, outcome, len(names), world.shortcut) if world.shortcut > 0 else None
    for part in ("images", "evidence", *(["shortcut"] if planted is not None else [])):
        (folder / part).mkdir()
    rows: list[Row] = []
    for well in range(len(wells)):
        place: Row = {name: values[well] for name, values in labels.items()}
        kind = None if planted is None else int(planted[well])
        for row in _visits(world, folder, wells, well, share[well], float(late[well]), kind):
            rows.append({"file": row.pop("file"), **place} | row | truth[well] | {"simulated": True})
        progress((well + 1) * world.frames, len(wells) * world.frames)
    table(folder / "labels.csv", rows)


def _visits(
    world: World, folder: Path, wells: Wells, well: int, share: Floats, late: float, planted: int | None
) -> Iterator[Row]:
    """The pictures of one well, written, and what the row of each says."""
    rng = np.random.default_rng([world.seed, 19, well])
    colony = Colony.of(rng, world, wells, well, share, late)
    label = wells.labels(np.array([well]))
    for frame, hour in enumerate(hours_of(world).tolist()):
        ground = colony.below(hour, world)
        stem = f"{label['plate'][0]}_{label['well'][0]}_{label['group'][0]}_{frame:03d}"
        row: Row = {"file": f"images/{stem}.ome.tif", "frame": frame, "time": hour, "washed": washed(hour, world)}
        if planted is not None:
            shift = rng.uniform(-1, 1, (1, 2)).astype(np.float32)
            paint = artefact.paint(np.array([planted]), shift, world.field)
            ground = replace(ground, light=ground.light * paint.light[0])
            mask(folder / f"shortcut/{stem}.tif", paint.mask[0].astype(np.uint8) * 255)
            row |= {"artefact": artefact.name(planted), "shortcut": f"shortcut/{stem}.tif"}
        who = colony.residents(frame, hour, world)
        field = take(who, ground, overview(wells, well, rng), world.channels, world.pixel_size, rng)
        neurons = who.number[(who.fate == NEURON) & (who.number > 0) & (who.maturity >= 0.25)]
        seen = field.evidence & np.isin(field.labels, neurons)
        microscope(folder / str(row["file"]), field.pictures, world.pixel_size, world.seed)
        mask(folder / f"evidence/{stem}.tif", seen.astype(np.uint8) * 255)
        ripe = colony.ripe(hour, world)[colony.fate == NEURON]
        yield row | {"cells": len(colony.fate), "changed": int((ripe > 0).sum()), "shows": int((ripe >= 0.25).sum()),
                     "evidence": f"evidence/{stem}.tif"}  # fmt: skip


_COLUMNS = [
    "group (clone), donor, plate, well, frame, time in hours, whether",
    "                it was washed by then, cells, changed (neurons that began to change: 0 before the onset), shows",
    "                (neurons that can be told)",
    "images/         pictures, OME-TIFF, 16 bit, with pixel size and channel names",
    "evidence/       255 where a neuron can be told; empty before the onset",
]
