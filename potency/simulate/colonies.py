"""Colonies of pluripotent cells, tight and round or frayed and differentiating, with the state of every pixel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.simulate.batch import Wells
from potency.simulate.cells import Genes, rounded, traits
from potency.simulate.course import emerged, hours_of
from potency.simulate.field import Ground, Residents, take
from potency.simulate.population import overview
from potency.simulate.survey import efficiencies
from potency.simulate.world import World, wells_of
from potency.simulate.write import mask, microscope, table

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]
Progress = Callable[[int, int], None]
Row = dict[str, object]

# The classes of Piotrowski et al. 2021 (doi 10.1016/j.compbiomed.2020.104172), in the order of their numbers.
STATES = ("background", "colony", "single", "differentiated", "dead")
COLONY, SINGLE, DIFFERENTIATED, DEAD = 1, 2, 3, 4
QUALITIES = ("good", "bad")
FLAT = 2  # what differentiating cells become here: the broadest of FATES
SHOWS = 0.25  # maturity from which a cell counts as differentiated
CROWD = 60  # cells of a colony, about, where a well has several
ALONE = 0.12  # share of the cells of a well that lie outside of colonies
GAP = 4.0  # micrometres between cells that still belong to their colony
APART = 14.0  # micrometres at least from the middle of a lone cell to that of any of a colony
STRIDE = 14.0  # micrometres that a cell of the rim crawls outward while it differentiates
TIGHT = {"aspect": 1.15, "processes": 0.0, "length": 2.0, "spread": 0.45, "ruffle": 0.15}  # cobblestones


@dataclass(frozen=True)
class Culture:
    """The cells of one well for all its visits, first axis of every array, and the ground they lie on."""

    genes: Genes
    colony: Ints  # number of the colony of each, 0 = alone
    start: Floats  # hour at which each begins to differentiate, infinite = never
    death: Floats  # hour of its death, infinite = never
    level: Floats  # (cells, 4) brightness of stains
    habit: Floats  # (cells, traits)
    home: Floats  # (cells, 2) place y, x in pixels
    way: Floats  # (cells, 2) pixels that it will have crawled when it is mature
    ground: Ground

    @classmethod
    def of(cls, rng: np.random.Generator, world: World, wells: Wells, well: int, severity: Floats) -> Culture:
        """Draw a well with a colony for each of `severity` (colonies,), 0 = round, tight, pluripotent, to 1."""
        cells = int(np.bincount(np.arange(world.cells) % len(wells), minlength=len(wells))[well])
        alone = int(ALONE * cells)
        colony = np.concatenate([np.arange(cells - alone) % len(severity) + 1, np.zeros(alone, np.int64)])
        home, way = rng.uniform(3, world.field - 4, (cells, 2)), np.zeros((cells, 2))
        start, death = np.full(cells, np.inf), np.full(cells, np.inf)
        for number, (middle, bad) in enumerate(zip(centres(rng, len(severity), world.field), severity, strict=True), 1):
            own = np.flatnonzero(colony == number)
            grown = grow(rng, len(own), float(bad), world)
            home[own], way[own], start[own] = middle + grown.place, grown.way, grown.start
            share = min(0.25, (0.01 + 0.08 * bad) * np.exp(0.4 * rng.standard_normal()))
            death[own] = np.where(rng.random(len(own)) < share, rng.uniform(0, world.hours[1], len(own)), np.inf)
        own = np.flatnonzero(colony == 0)
        home[own] = _elsewhere(rng, home[own], home[colony > 0], APART / world.pixel_size)
        turned = rng.random(alone) < severity.mean()
        start[own] = np.where(turned, world.onset + rng.uniform(0, _span(world), alone), np.inf)
        return cls(
            Genes.of(rng, cells), colony, start, death, np.exp(0.35 * rng.standard_normal((cells, 4))).astype("f4"),
            np.repeat(wells.habit[well][None], cells, axis=0), home, way,
            Ground.of(rng, world.field, world.pixel_size, float(wells.debris[well])),
        )  # fmt: skip

    def at(self, hour: float, world: World) -> tuple[Residents, Ints]:
        """All that is to be drawn at an hour, numbered from 1, and the state (cells + 1,) of each number."""
        ripe, dead = emerged(hour, self.start, world.ripening), self.death <= hour
        fate = np.where(np.isfinite(self.start), FLAT, 0)
        shape = traits(self.genes, fate, ripe, self.habit)
        shape = _towards(shape, TIGHT, (1 - ripe) * (self.colony > 0))
        shape = rounded(shape, dead.astype(np.float32))
        shape["radius"] = shape["radius"] * np.where(dead, 0.75, 1.0).astype(np.float32)
        level = (self.level * (0.10 + 0.95 * ripe[:, None] * (fate[:, None] == np.arange(4)))).astype(np.float32)
        level[:, 0] = self.level[:, 0]
        y, x = (self.home + ripe[:, None] * self.way).T.astype(np.float32)
        state = np.where(ripe >= SHOWS, DIFFERENTIATED, np.where(self.colony > 0, COLONY, SINGLE))
        state = np.concatenate([[0], np.where(dead, DEAD, state)])
        inside = (np.minimum(y, x) >= 2) & (np.maximum(y, x) <= world.field - 3)
        number = np.arange(1, len(y) + 1)[inside]
        shape = {name: value[inside] for name, value in shape.items()}
        every = (fate[inside], ripe[inside], level[inside], y[inside], x[inside], number)
        return Residents(self.genes.take(inside), shape, *every), state


@dataclass(frozen=True)
class Grown:
    """The cells of one colony: places and ways (cells, 2) in pixels around its middle, hours (cells,) of the start."""

    place: Floats
    way: Floats
    start: Floats


def grow(rng: np.random.Generator, cells: int, bad: float, world: World) -> Grown:
    """A colony on a sunflower spiral (Vogel 1979), which fills a disc evenly.

    A `bad` one is looser, its outline uneven, and more of its cells differentiate: from the rim, or from a spot inside.
    """
    apart = (8.5 + 2.5 * bad) * np.exp(0.06 * rng.standard_normal()) / world.pixel_size
    turn = np.arange(cells) * np.pi * (3 - np.sqrt(5))
    away = 0.525 * apart * np.sqrt(np.arange(cells) + 0.5)  # as dense as hexagons of that distance
    fray, waves = (0.05 + 0.30 * bad) * np.exp(0.4 * rng.standard_normal()), np.arange(2, 7)
    size, phase = rng.standard_normal((2, len(waves)))
    outline = 1 + fray * ((size / waves) * np.cos(waves * turn[:, None] + 3 * phase)).sum(1)
    along = np.stack([np.sin(turn), np.cos(turn)], axis=1)
    place = along * (away * np.clip(outline, 0.4, 1.8))[:, None] + 0.12 * apart * rng.standard_normal((cells, 2))
    radius = 0.525 * apart * np.sqrt(cells)
    rim = (away > 0.65 * radius)[:, None]
    way = along * np.where(rim, STRIDE, 2.0) * rng.random((cells, 1)) / world.pixel_size
    spot = rng.uniform(-0.5, 0.5, 2) * radius
    far = np.hypot(*(place - spot).T) if rng.random() < 0.5 else -away
    order = np.argsort(np.argsort(far + 0.3 * radius * rng.standard_normal(cells)))
    turned = min(0.8, (0.02 + 0.45 * bad**1.5) * np.exp(0.4 * rng.standard_normal())) * cells
    start = world.onset + _span(world) * order / max(turned, 1.0)
    return Grown(place, way, np.where(order < turned, start, np.inf))


def _span(world: World) -> float:
    """Hours in which cells begin to change, so that the last of them are mature in the last picture."""
    return max(0.0, world.hours[1] - world.onset - world.ripening)


def centres(rng: np.random.Generator, colonies: int, side: int) -> Floats:
    """The middles (colonies, 2) of colonies in a field, each the best of 16 places (Mitchell 1991); one: its middle."""
    if colonies == 1:
        return side / 2 + rng.normal(0, 0.03 * side, (1, 2))
    found = rng.uniform(0.12, 0.88, (1, 2)) * side
    for _ in range(colonies - 1):
        tried = rng.uniform(0.12, 0.88, (16, 2)) * side
        nearest = np.hypot(*(tried[:, None] - found[None]).transpose(2, 0, 1)).min(axis=1)
        found = np.vstack([found, tried[np.argmax(nearest)]])
    return found


def _elsewhere(rng: np.random.Generator, tried: Floats, taken: Floats, apart: float) -> Floats:
    """Places (N, 2) drawn anew as long as one of those `taken` is nearer than `apart`, a few times at most."""
    side = tried.max(initial=1.0)
    for _ in range(12):
        near = np.hypot(*(tried[:, None] - taken[None]).transpose(2, 0, 1)).min(axis=1, initial=np.inf) < apart
        tried = np.where(near[:, None], rng.uniform(3, side, tried.shape), tried)
    return tried


def _towards(shape: dict[str, Floats], aim: dict[str, float], amount: Floats) -> dict[str, Floats]:
    """Traits moved towards those of `aim` by `amount` (N,), 0 to 1."""
    amount = np.asarray(amount, np.float32)
    return {name: value * (1 - amount) + aim[name] * amount if name in aim else value for name, value in shape.items()}


def maps(labels: NDArray[Any], state: Ints, colony: Ints, gap: float) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """State and colony (H, W) of every pixel, from the numbers of cells there.

    `state` and `colony` tell those of each number, the ground's first. Gaps of up to twice `gap` pixels between cells
    are closed and belong to the nearest, as who draws a colony by hand does not leave them out.

    >>> maps(np.array([[1, 0, 2, 0, 0, 0, 0]]), np.array([0, 1, 3]), np.array([0, 5, 5]), 1.0)[0].tolist()
    [[1, 1, 3, 0, 0, 0, 0]]
    """
    from scipy import ndimage

    if not labels.any():
        return np.zeros(labels.shape, np.uint8), np.zeros(labels.shape, np.uint16)
    wide = max(1, round(gap))
    y, x = np.ogrid[-wide : wide + 1, -wide : wide + 1]
    there = np.pad(labels > 0, wide, mode="edge")
    closed = ndimage.binary_closing(there, y * y + x * x <= wide * wide)[wide:-wide, wide:-wide]
    near = ndimage.distance_transform_edt(labels == 0, return_distances=False, return_indices=True)
    owner = np.where(closed, labels[tuple(near)], 0)
    return state[owner].astype(np.uint8), colony[owner].astype(np.uint16)


def colonies(world: World, folder: Path, progress: Progress) -> list[str]:
    """One colony a picture, good or bad, at the last of the hours."""
    wells = wells_of(world)
    severity = efficiencies(world, wells, np.random.default_rng([world.seed, 31]))
    truth: list[Row] = [{"label": QUALITIES[int(bad > 0.5)], "severity": round(float(bad), 4)} for bad in severity]
    _follow(world, folder, progress, severity[:, None], [world.hours[1]], truth)
    return [
        "labels.csv      one row a colony: file, label (good, bad: severity above a half), severity (0 = round, tight,",
        "                pluripotent, to 1 = frayed, loose, differentiating), " + _COLUMNS[0], *_COLUMNS[1:],
    ]  # fmt: skip


def states(world: World, folder: Path, progress: Progress) -> list[str]:
    """Wells with several colonies, seen again and again while some of their cells differentiate and die."""
    wells = wells_of(world)
    colonies = max(1, round((1 - ALONE) * world.cells / len(wells) / CROWD))
    severity = np.random.default_rng([world.seed, 33]).random((len(wells), colonies))
    _follow(world, folder, progress, severity, hours_of(world).tolist(), [{}] * len(wells))
    return ["labels.csv      one row a visit of a well: file, " + _COLUMNS[0], *_COLUMNS[1:]]


def _follow(
    world: World, folder: Path, progress: Progress, severity: Floats, hours: list[float], truth: list[Row]
) -> None:
    """Picture every well at every hour; `severity` (wells, colonies), `truth` (wells) what its rows say beside."""
    from potency.answers.conformal import JOIN  # the room of answers is heavy

    wells = wells_of(world)
    labels = wells.labels(np.arange(len(wells)))
    for part in ("images", "masks", "maps"):
        (folder / part).mkdir()
    rows: list[Row] = []
    for well in range(len(wells)):
        rng = np.random.default_rng([world.seed, 37, well])
        culture = Culture.of(rng, world, wells, well, severity[well])
        place: Row = {name: values[well] for name, values in labels.items()}
        for frame, hour in enumerate(hours):
            who, state = culture.at(hour, world)
            field = take(who, culture.ground, overview(wells, well, rng), world.channels, world.pixel_size, rng)
            living = np.concatenate([[0], np.where(culture.death <= hour, 0, culture.colony)])
            codes, colony = maps(field.labels, state, living, GAP / world.pixel_size)
            stem = f"{place['plate']}_{place['well']}_{place['group']}_{frame:03d}"
            microscope(folder / f"images/{stem}.ome.tif", field.pictures, world.pixel_size, world.seed)
            mask(folder / f"masks/{stem}.tif", colony)
            mask(folder / f"maps/{stem}.tif", codes)
            rows.append({"file": f"images/{stem}.ome.tif", **truth[well], **place, "frame": frame, "time": hour,
                         "cells": int((state[1:] != DEAD).sum()), "dead": int((state == DEAD).sum()),
                         "mask": f"masks/{stem}.tif", "map": f"maps/{stem}.tif", "map.classes": JOIN.join(STATES),
                         "simulated": True})  # fmt: skip
        progress((well + 1) * len(hours), len(wells) * len(hours))
    table(folder / "labels.csv", rows)


_COLUMNS = [
    "group (clone), donor, plate, well, frame,",
    "                time in hours, cells that live, that are dead",
    "images/         pictures, OME-TIFF, 16 bit, with pixel size and channel names",
    "masks/          the number of the colony whose living cells cover a pixel, 16 bit, 0 = none",
    "maps/           the state of every pixel, 8 bit: " + ", ".join(f"{n} {name}" for n, name in enumerate(STATES)),
]
