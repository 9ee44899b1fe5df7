"""Movies: folders of the Cell Tracking Challenge with every track, every division and every fate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from potency.simulate.field import take
from potency.simulate.lineage import tracks
from potency.simulate.optics import Setting
from potency.simulate.population import Film, overview
from potency.simulate.world import World, wells_of
from potency.simulate.write import mask, microscope, table

Progress = Callable[[int, int], None]
Row = dict[str, object]


def movies(world: World, folder: Path, progress: Progress) -> list[str]:
    """One movie a well: `01/` frames, `01_GT/TRA` tracks, `01_GT/SEG` masks, and tables of frames, tracks and cells."""
    wells = wells_of(world)
    founders = np.bincount(np.arange(world.cells) % len(wells), minlength=len(wells))
    labels = wells.labels(np.arange(len(wells)))
    frames: list[Row] = []
    lineage: list[Row] = []
    cells: list[Row] = []
    for well in range(len(wells)):
        rng = np.random.default_rng([world.seed, 13, well])
        film, name = Film.of(world, wells, well, int(founders[well]), rng), f"{well + 1:02d}"
        place: Row = {column: values[well] for column, values in labels.items()}
        for part in (name, f"{name}_GT/TRA", f"{name}_GT/SEG", f"{name}_evidence"):
            (folder / part).mkdir(parents=True)
        (folder / f"{name}_GT/TRA/man_track.txt").write_text(tracks(film.lives), encoding="ascii")
        for frame in range(world.frames):
            frames.append({"file": f"{name}/t{frame:03d}.tif", "movie": name, "frame": frame, **place}
                          | _shoot(world, folder, film, name, frame, overview(wells, well, rng), rng))  # fmt: skip
            cells += _seen(film, name, frame)
            progress(well * world.frames + frame + 1, len(wells) * world.frames)
        lineage += _lineage(world, film, name, place)
    table(folder / "labels.csv", frames)
    table(folder / "lineage.csv", lineage)
    table(folder / "cells.csv", cells)
    return [
        "labels.csv      one row a frame: file, movie, frame, group (clone), time in hours, number of cells",
        "lineage.csv     one row a track: parent (0 = none), founder, first and last frame, fate, how it ended",
        "cells.csv       one row a cell and frame: track, centre in pixels, maturity, rounding",
        "01/             frames; 01_GT/TRA/man_track.txt and masks as in the Cell Tracking Challenge (L B E P)",
        "01_evidence/    255 where the fate of a cell can be seen",
    ]


def _shoot(
    world: World, folder: Path, film: Film, name: str, frame: int, setting: Setting, rng: np.random.Generator
) -> Row:
    """Write one frame with its masks; returns what its row says of it."""
    who = film.residents(frame)
    field = take(who, film.ground, setting, world.channels, world.pixel_size, rng)
    microscope(folder / f"{name}/t{frame:03d}.tif", field.pictures, world.pixel_size, world.seed)
    mask(folder / f"{name}_GT/TRA/man_track{frame:03d}.tif", field.labels)
    mask(folder / f"{name}_GT/SEG/man_seg{frame:03d}.tif", field.labels)
    mask(folder / f"{name}_evidence/t{frame:03d}.tif", field.evidence.astype(np.uint8) * 255)
    return {"time": round(float(film.hours[frame]), 4), "cells": int((who.number > 0).sum()),
            "mask": f"{name}_GT/SEG/man_seg{frame:03d}.tif", "evidence": f"{name}_evidence/t{frame:03d}.tif",
            "simulated": True}  # fmt: skip


def _seen(film: Film, name: str, frame: int) -> list[Row]:
    return [
        {"movie": name, "frame": frame, "track": life.track, "y": round(life.y[at], 2), "x": round(life.x[at], 2),
         "maturity": round(life.maturity[at], 4), "rounding": round(life.rounding[at], 3), "simulated": True}
        for life in film.alive(frame) if (at := frame - life.begin) >= 0
    ]  # fmt: skip


def _lineage(world: World, film: Film, name: str, place: Row) -> list[Row]:
    return [
        {"movie": name, "track": life.track, "parent": life.parent, "founder": life.founder, "begin": life.begin,
         "end": life.end, "begin_hour": round(float(film.hours[life.begin]), 4),
         "end_hour": round(float(film.hours[life.end]), 4), "label": world.fates[life.fate],
         "committed": life.committed, "ending": life.ending, **place, "simulated": True}
        for life in film.lives
    ]  # fmt: skip
