"""Rods: bacteria that grow, divide and push one another in one layer, filmed, with every cell and its rate known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from potency.errors import PlanError
from potency.simulate.field import Ground, photograph
from potency.simulate.optics import WAVELENGTH
from potency.simulate.population import overview
from potency.simulate.scene import STAINS
from potency.simulate.world import World, wells_of
from potency.simulate.write import mask, microscope, table

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Labels = NDArray[np.uint16]
Progress = Callable[[int, int], None]
Row = dict[str, object]

WIDTH = (1.0, 0.04)  # micrometres of E. coli; and what of it differs from cell to cell
ADDED = (2.0, 0.12)  # micrometres that a cell adds from birth to division, whatever it began with (Taheri-Araghi 2015)
DOUBLING = 25 / 60  # hours
UNLIKE = 0.1  # spread of the growth rate, between movies and again between cells
SHARE = 0.03  # spread of where a cell divides, as a share of its length
TURNED = 0.08  # radians by which daughters turn as they part
INDEX = 0.04  # refractive index of a cell above that of its medium
STEP = 0.05  # growth between two rounds of pushing, as a share of the length
DISCS = 8  # along a rod, which is pushed where they meet those of others
ROUNDS = 15


@dataclass(frozen=True)
class Rods:
    """All cells of one moment; first axis of every array. Micrometres, radians, and rates an hour."""

    track: Ints
    parent: Ints
    place: Floats  # (N, 2) y, x
    turn: Floats
    length: Floats  # from pole to pole
    width: Floats
    aim: Floats  # length at which it divides
    rate: Floats

    def __len__(self) -> int:
        return len(self.track)

    def take(self, rows: NDArray[np.bool_]) -> Rods:
        """Some of the cells."""
        return replace(self, **{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    @property
    def axis(self) -> Floats:
        """Unit vectors (N, 2) from pole to pole."""
        return np.stack([np.sin(self.turn), np.cos(self.turn)], axis=1)


def founders(rng: np.random.Generator, cells: int, side: float, rate: float) -> Rods:
    """Cells of any age in the middle of a field of `side` micrometres."""
    length = ADDED[0] * 2 ** rng.uniform(0, 1, cells)
    place = side * rng.uniform(0.3, 0.7, (cells, 2))
    aim = np.maximum(2 * ADDED[0] * _near(rng, cells, ADDED[1] / 2), 1.02 * length)
    return pushed(Rods(
        track=np.arange(1, cells + 1), parent=np.zeros(cells, np.int64), place=place,
        turn=rng.uniform(0, 2 * np.pi, cells), length=length, width=WIDTH[0] * _near(rng, cells, WIDTH[1]), aim=aim,
        rate=rate * _near(rng, cells, UNLIKE),
    ))  # fmt: skip


def grown(rng: np.random.Generator, rods: Rods, hours: float, rate: float, first: int) -> Rods:
    """The cells a while later: longer, divided where they reached their aim, pushed apart; new tracks from `first` on.

    `rate` is that of the movie, of which every cell has its own share.
    """
    steps = max(1, int(np.ceil(hours * rate / STEP)))
    for _ in range(steps):
        rods = replace(rods, length=rods.length * np.exp(rods.rate * hours / steps))
        due = rods.length >= rods.aim
        if due.any():
            born = _daughters(rng, rods.take(due), rate, first)
            first += len(born)
            kept = rods.take(~due)
            rods = Rods(*(np.concatenate([getattr(kept, f.name), getattr(born, f.name)]) for f in fields(Rods)))
        rods = pushed(rods)
    return rods


def _daughters(rng: np.random.Generator, mothers: Rods, rate: float, first: int) -> Rods:
    count = len(mothers)
    share = np.clip(0.5 + SHARE * rng.standard_normal(count), 0.4, 0.6)
    length = np.concatenate([mothers.length * share, mothers.length * (1 - share)])
    away = 0.5 * np.concatenate([share - 1, share]) * np.tile(mothers.length, 2)  # of their middles from the mother's
    return Rods(
        track=first + np.arange(2 * count),
        parent=np.tile(mothers.track, 2),
        place=np.tile(mothers.place, (2, 1)) + away[:, None] * np.tile(mothers.axis, (2, 1)),
        turn=np.tile(mothers.turn, 2) + TURNED * rng.standard_normal(2 * count),
        length=length,
        width=np.tile(mothers.width, 2),
        aim=length + ADDED[0] * _near(rng, 2 * count, ADDED[1]),
        rate=rate * _near(rng, 2 * count, UNLIKE),
    )


def _near(rng: np.random.Generator, count: int, spread: float) -> Floats:
    """Factors around 1, none beyond 2.5 standard deviations."""
    return 1 + spread * np.clip(rng.standard_normal(count), -2.5, 2.5)


def pushed(rods: Rods) -> Rods:
    """The rods moved and turned until next to nothing of them overlaps.

    Discs along each rod give way where they overlap those of others, each by half; a rod moves by the mean of its
    contacts, and turns as fits them best (least squares).
    """
    from scipy.spatial import KDTree

    count, place, turn = len(rods), rods.place.copy(), rods.turn.copy()
    arm = np.linspace(-0.5, 0.5, DISCS) * (rods.length - rods.width)[:, None]
    for _ in range(ROUNDS if count > 1 else 0):
        axis = np.stack([np.sin(turn), np.cos(turn)], axis=1)
        discs = (place[:, None] + arm[..., None] * axis[:, None]).reshape(-1, 2)
        pairs = KDTree(discs).query_pairs(float(rods.width.max()), output_type="ndarray")
        owner = pairs // DISCS
        pairs, owner = pairs[owner[:, 0] != owner[:, 1]], owner[owner[:, 0] != owner[:, 1]]
        gap = discs[pairs[:, 0]] - discs[pairs[:, 1]]
        far = np.maximum(np.hypot(*gap.T), 1e-6)
        deep = rods.width[owner].mean(axis=1) - far
        kept = deep > 1e-3
        if not kept.any():
            break
        push = (0.5 * deep / far)[kept, None] * gap[kept]
        cell, at = owner[kept].T.ravel(), arm.ravel()[pairs[kept].T.ravel()]
        push = np.concatenate([push, -push])
        across = np.stack([np.cos(turn), -np.sin(turn)], axis=1)[cell]  # where a point of the rod goes as it turns
        met = np.maximum(np.bincount(cell, minlength=count), 1)
        place += np.stack([np.bincount(cell, push[:, k], count) for k in range(2)], axis=1) / met[:, None]
        stiff = np.bincount(cell, at**2, count) + met * (rods.width / 2) ** 2
        turn += np.bincount(cell, at * (push * across).sum(axis=1), count) / stiff
    return replace(rods, place=place, turn=turn)


def drawn(rods: Rods, side: int, pixel: float) -> tuple[NDArray[np.float32], Labels]:
    """Thickness (side, side) of all rods in micrometres, and their mask: where two still overlap the thicker one's."""
    height, labels = np.zeros((side, side), np.float32), np.zeros((side, side), np.uint16)
    for place, axis, length, width, number in zip(
        rods.place, rods.axis, rods.length, rods.width, rods.track, strict=True
    ):
        middle, span = place / pixel - 0.5, length / 2 / pixel + 1  # a pixel lies where its middle is
        low = np.maximum(np.floor(middle - span), 0).astype(int)
        high = np.minimum(np.ceil(middle + span) + 1, side).astype(int)
        if (low >= high).any():
            continue
        window = slice(low[0], high[0]), slice(low[1], high[1])
        y, x = (np.arange(a, b) - c for a, b, c in zip(low, high, middle, strict=True))
        y, x = y[:, None] * pixel, x[None] * pixel
        along = np.clip(y * axis[0] + x * axis[1], -(length - width) / 2, (length - width) / 2)
        far = (y - along * axis[0]) ** 2 + (x - along * axis[1]) ** 2
        thick = 2 * np.sqrt(np.maximum((width / 2) ** 2 - far, 0)).astype(np.float32)
        wins = thick > height[window]
        height[window][wins], labels[window][wins] = thick[wins], number
    return height, labels


def films(world: World, folder: Path, progress: Progress) -> list[str]:
    """One film a well in the layout of the Cell Tracking Challenge; tables of frames and of tracks.

    Raises:
        PlanError: a look that needs a stain, which these cells have not.
    """
    if set(world.channels) & set(STAINS):
        raise PlanError("rods carry no stain", f"look {world.look!r}", "choose phase or brightfield")
    wells = wells_of(world)
    cells = np.bincount(np.arange(world.cells) % len(wells), minlength=len(wells))
    labels = wells.labels(np.arange(len(wells)))
    own = np.random.default_rng([world.seed, 37]).standard_normal(world.groups)
    frames: list[Row] = []
    lineage: list[Row] = []
    for well in range(len(wells)):
        rng, name = np.random.default_rng([world.seed, 41, well]), f"{well + 1:02d}"
        rate = float(np.log(2) / DOUBLING * np.exp(UNLIKE * min(world.batch, 2) * own[wells.group[well]]))
        place: Row = {column: values[well] for column, values in labels.items()}
        for part in (name, f"{name}_GT/TRA", f"{name}_GT/SEG"):
            (folder / part).mkdir(parents=True)
        # The specks of a world are those of a square millimetre: a field this fine holds fewer.
        specks = float(wells.debris[well]) * (world.pixel_size / 0.65) ** 2
        ground = Ground.of(rng, world.field, world.pixel_size, specks)
        seen: dict[int, Row] = {}
        for frame, rods in enumerate(_film(rng, world, int(cells[well]), rate)):
            height, numbers = drawn(rods, world.field, world.pixel_size)
            view = {"path": (2 * np.pi / WAVELENGTH * INDEX * height)[None].astype(np.float32)}
            pictures = photograph(view, ground, overview(wells, well, rng), world.channels, world.pixel_size, rng)
            files = {"file": f"{name}/t{frame:03d}.tif", "mask": f"{name}_GT/SEG/man_seg{frame:03d}.tif"}
            microscope(folder / files["file"], pictures, world.pixel_size, world.seed)
            mask(folder / files["mask"], numbers)
            mask(folder / f"{name}_GT/TRA/man_track{frame:03d}.tif", numbers)
            there = np.unique(numbers[numbers > 0])
            frames.append({"file": files["file"], "movie": name, "frame": frame, **place, "time": _time(world, frame),
                           "cells": len(there), "area": int((numbers > 0).sum()), "growth": round(rate, 4),
                           "mask": files["mask"], "simulated": True})  # fmt: skip
            for at in np.flatnonzero(np.isin(rods.track, there)):
                first = {"movie": name, "track": int(rods.track[at]), "parent": int(rods.parent[at]), "begin": frame}
                seen.setdefault(int(rods.track[at]), first | {"rate": round(float(rods.rate[at]), 4)})["end"] = frame
            progress(well * world.frames + frame + 1, len(wells) * world.frames)
        told = "".join(f"{row['track']} {row['begin']} {row['end']} {_parent(row, seen)}\n" for row in seen.values())
        (folder / f"{name}_GT/TRA/man_track.txt").write_text(told, encoding="ascii")
        lineage += [row | {**place, "simulated": True} for row in seen.values()]
    table(folder / "labels.csv", frames)
    table(folder / "lineage.csv", lineage)
    return [
        "labels.csv      one row a frame: file, movie, frame, group (clone), time in hours, cells, their area in",
        "                pixels, and the growth rate that the movie was given, an hour",
        "lineage.csv     one row a track: parent (0 = none), first and last frame, its own growth rate",
        "01/             frames; 01_GT/TRA/man_track.txt and masks as in the Cell Tracking Challenge (L B E P)",
    ]


def _time(world: World, frame: int) -> float:
    first, last = world.hours
    return round(first + (last - first) * frame / max(1, world.frames - 1), 4)


def _parent(row: Row, seen: dict[int, Row]) -> object:
    """The parent as the Cell Tracking Challenge wants it: one that is in the film."""
    return row["parent"] if row["parent"] in seen else 0


def _film(rng: np.random.Generator, world: World, cells: int, rate: float) -> list[Rods]:
    rods = founders(rng, cells, world.field * world.pixel_size, rate)
    made, tracks = [rods], len(rods)
    for frame in range(1, world.frames):
        rods = grown(rng, rods, _time(world, frame) - _time(world, frame - 1), rate, tracks + 1)
        tracks = max(tracks, int(rods.track.max(initial=0)))
        made.append(rods)
    return made
