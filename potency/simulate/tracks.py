"""Tracks: single cells followed from frame to frame, whose lineage shows in shape and speed before a marker does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.simulate import artefact, crops
from potency.simulate.batch import FIELD
from potency.simulate.cells import FATES, Genes
from potency.simulate.course import emerged, hours_of
from potency.simulate.lineage import SPEED
from potency.simulate.world import World, wells_of
from potency.simulate.write import png, table

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]
Progress = Callable[[int, int], None]
Row = dict[str, object]
MARKER = 1.0  # of `ripening`: how long after a cell begins to change its marker is seen


def tracks(world: World, folder: Path, progress: Progress) -> list[str]:
    """A crop of each cell in each frame: `labels.csv` has a row a cell and frame, `tracks.csv` a row a cell."""
    wells, hours = wells_of(world), hours_of(world)
    rng = np.random.default_rng([world.seed, 23])
    group = np.arange(world.cells) % world.groups
    well = group * world.wells + (np.arange(world.cells) // world.groups) % world.wells
    fate = 1 + (np.arange(world.cells) // world.groups + rng.integers(0, world.lineages, world.groups)[group]) % (
        world.lineages
    )
    start = world.onset + rng.gamma(2.0, 0.25, world.cells) * world.ripening
    marker = start + MARKER * world.ripening
    ripe = emerged(hours[None, :], start[:, None], world.ripening)  # (cells, frames)
    y, x, moved = _walk(rng, world, fate, ripe, hours)
    planted = artefact.choose(rng, fate - 1, world.lineages, world.shortcut) if world.shortcut > 0 else None
    number = np.repeat(np.arange(world.cells), world.frames)
    who = crops.Cast(
        well[number], fate[number], np.tile(hours, world.cells), ripe.ravel(), y.ravel(), x.ravel(),
        wells.labels(well[number]), Genes.of(rng, world.cells).take(number),
        None if planted is None else planted[number],
    )  # fmt: skip
    for part in (*world.channels, "evidence", *(["shortcut"] if planted is not None else [])):
        (folder / part).mkdir()
    rows: list[Row] = []
    for chunk in crops.render(world, wells, who):
        for place, at in enumerate(range(*chunk.rows.indices(len(number)))):
            rows.append(_row(world, folder, who, chunk, place, at, moved.ravel()[at], marker[number[at]]))
        progress(min(chunk.rows.stop, len(number)), len(number))
    table(folder / "labels.csv", rows)
    place_of = wells.labels(well)
    table(folder / "tracks.csv", [
        {"track": f"cell{cell + 1:04d}", "label": FATES[fate[cell]], **{k: v[cell] for k, v in place_of.items()},
         "onset": round(float(start[cell]), 3), "marker": round(float(marker[cell]), 3),
         "onset_frame": _frame(hours, start[cell]), "marker_frame": _frame(hours, marker[cell]), "simulated": True}
        for cell in range(world.cells)])  # fmt: skip
    return [
        "labels.csv      one row a cell and frame: file, label (lineage), track, frame, time in hours, before_marker",
        "                (hours until its marker is seen, negative before), displacement in um since the last frame,",
        "                maturity (0 until the cell begins to change), group (clone), donor, plate, well",
        "tracks.csv      one row a cell: onset (hour at which it begins to change), marker (hour at which it is seen),",
        "                and the first frames at or after them, empty if the movie ends before",
        *[f"{channel + '/':<16}pictures, 16 bit" for channel in world.channels],
        "evidence/       255 where the lineage can be seen",
    ]


def _frame(hours: Floats, hour: float) -> int | str:
    """The first frame at or after an hour, empty if there is none."""
    at = int(np.searchsorted(hours, hour))
    return at if at < len(hours) else ""


def _walk(
    rng: np.random.Generator, world: World, fate: Ints, ripe: Floats, hours: Floats
) -> tuple[Floats, Floats, Floats]:
    """Places y and x (cells, frames) in pixels and the length of the last step in um; speed turns with maturity."""
    speed = SPEED[0] * (1 - ripe) + np.array(SPEED)[fate][:, None] * ripe
    gap = np.diff(hours, prepend=hours[0])[None, :]
    heading = rng.uniform(0, 2 * np.pi, (len(fate), 1)) + np.cumsum(rng.normal(0, 0.7, ripe.shape) * np.sqrt(gap), 1)
    stride = speed * gap * np.exp(0.4 * rng.standard_normal(ripe.shape))
    place = rng.uniform(world.size, FIELD - world.size, (2, len(fate), 1))
    steps = np.cumsum(np.stack([np.sin(heading), np.cos(heading)]) * stride / world.pixel_size, axis=2)
    low, high = world.size, FIELD - world.size
    y, x = low + (high - low) * (1 - np.abs((place + steps - low) / (high - low) % 2 - 1))  # turns round at the edge
    return y.astype(np.float32), x.astype(np.float32), np.asarray(stride, np.float32)


def _row(
    world: World, folder: Path, who: crops.Cast, chunk: crops.Crops, place: int, at: int, moved: float, marker: float
) -> Row:
    """Write the pictures of one cell in one frame and say what its row says."""
    cell, frame = divmod(at, world.frames)
    column = {name: values[at] for name, values in who.column.items()}
    name = f"{column['plate']}_{column['well']}_cell{cell + 1:04d}_{frame:03d}.png"
    for channel, pictures in chunk.pictures.items():
        png(folder / channel / name, pictures[place])
    png(folder / "evidence" / name, chunk.evidence[place].astype(np.uint8) * 255)
    time = float(who.time[at])
    row: Row = {
        "file": f"{world.channels[0]}/{name}", "label": FATES[who.fate[at]], **column, "track": f"cell{cell + 1:04d}",
        "frame": frame, "time": time, "before_marker": round(time - marker, 3),
        "displacement": round(float(moved), 3), "maturity": round(float(who.maturity[at]), 4),
        "evidence": f"evidence/{name}",
    }  # fmt: skip
    if chunk.shortcut is not None and chunk.planted is not None:
        png(folder / "shortcut" / name, chunk.shortcut[place].astype(np.uint8) * 255)
        row |= {"artefact": artefact.name(int(chunk.planted[place])), "shortcut": f"shortcut/{name}"}
    return row | {"simulated": True}
