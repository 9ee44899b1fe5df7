"""Kinds of simulated experiments as folders: each takes a world and fills a folder with pictures, truth and a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from potency.simulate import artefact, crops
from potency.simulate.colonies import colonies, states
from potency.simulate.course import courses, inductions
from potency.simulate.movie import movies
from potency.simulate.proteins import proteins
from potency.simulate.rods import films
from potency.simulate.survey import fields, outcomes
from potency.simulate.tracks import tracks
from potency.simulate.viability import viability
from potency.simulate.world import World, wells_of
from potency.simulate.write import png, table

Progress = Callable[[int, int], None]
Row = dict[str, object]


def single_cells(world: World, folder: Path, progress: Progress) -> list[str]:
    """Single-cell crops: `labels.csv`, a folder a channel, `masks/`, `evidence/`, and `shortcut/` if one is planted."""
    wells = wells_of(world)
    who = crops.cast(world, wells, np.random.default_rng([world.seed, 2]))
    for part in (*world.channels, "masks", "evidence", *(["shortcut"] if world.shortcut > 0 else [])):
        (folder / part).mkdir()
    rows: list[Row] = []
    for chunk in crops.render(world, wells, who):
        for place, number in enumerate(range(*chunk.rows.indices(world.cells))):
            column = {name: values[number] for name, values in who.column.items()}
            name = f"{column['plate']}_{column['well']}_{column['group']}_t{who.time[number]:03.0f}h_{number:05d}.png"
            for channel, pictures in chunk.pictures.items():
                png(folder / channel / name, pictures[place])
            png(folder / "masks" / name, chunk.mask[place].astype(np.uint16))
            png(folder / "evidence" / name, chunk.evidence[place].astype(np.uint8) * 255)
            row: Row = {
                "file": f"{world.channels[0]}/{name}", "label": world.fates[who.fate[number]], **column,
                "time": round(float(who.time[number]), 2), "x": round(float(who.x[number]), 1),
                "y": round(float(who.y[number]), 1), "maturity": round(float(who.maturity[number]), 4),
                "mask": f"masks/{name}", "evidence": f"evidence/{name}",
            }  # fmt: skip
            if chunk.shortcut is not None and chunk.planted is not None:
                png(folder / "shortcut" / name, chunk.shortcut[place].astype(np.uint8) * 255)
                row |= {"artefact": artefact.name(int(chunk.planted[place])), "shortcut": f"shortcut/{name}"}
            rows.append(row | {"simulated": True})
        progress(min(chunk.rows.stop, world.cells), world.cells)
    table(folder / "labels.csv", rows)
    return [
        "labels.csv      one row a cell: file, label (its fate), group (clone), donor, plate, well, time in hours,",
        "                x and y of the crop in its field, maturity (0 = still like a stem cell, 1 = fully its fate)",
        *[f"{channel + '/':<16}pictures, 16 bit" for channel in world.channels],
        "masks/          1 where the cell is",
        "evidence/       255 where the fate of the cell can be seen; empty while the cell is not yet mature",
        *(["shortcut/       255 where the planted artefact is; column artefact names it"] if world.shortcut else []),
    ]


@dataclass(frozen=True)
class Experiment:
    """One kind of experiment: what fills the folder, and where its settings differ from those of crops.

    `finest` is the smallest pixel, in micrometres, at which its cells still fit the patches that they are drawn in.
    """

    fill: Callable[[World, Path, Progress], list[str]]
    settings: Mapping[str, object]
    labelled: bool  # whether a picture has a label that a shortcut can agree with
    finest: float = 0.2


EXPERIMENTS: dict[str, Experiment] = {
    "crops": Experiment(single_cells, {}, True),
    "fields": Experiment(fields, {"cells": 1200, "wells": 2}, False),
    "movie": Experiment(movies, {"cells": 24, "groups": 2, "wells": 1, "look": "phase", "hours": (36.0, 60.0)}, False),
    "wells": Experiment(outcomes, {"cells": 2304, "wells": 8, "field": 384, "hours": (60.0, 96.0)}, True),
    "course": Experiment(courses, {"cells": 1536, "wells": 8, "classes": 2, "field": 256, "look": "phase", "frames": 8,
                                   "hours": (6.0, 62.0), "onset": 24.0, "wash": 40.0}, True),
    "induction": Experiment(inductions, {"cells": 1152, "wells": 6, "classes": 2, "field": 256, "frames": 8,
                                         "hours": (0.0, 3.5), "onset": 0.75, "ripening": 2.0}, True),
    "tracks": Experiment(tracks, {"cells": 240, "groups": 6, "wells": 2, "classes": 3, "frames": 16,
                                  "hours": (0.0, 45.0), "onset": 12.0, "ripening": 15.0}, True),
    "viability": Experiment(viability, {"cells": 960, "groups": 20, "wells": 2, "field": 384}, False),
    "rods": Experiment(films, {"cells": 36, "wells": 1, "look": "phase", "field": 256, "pixel_size": 0.1, "frames": 13,
                               "hours": (0.0, 1.0)}, False, 0.05),
    "proteins": Experiment(proteins, {"cells": 960, "groups": 20, "wells": 2, "density": 0.1}, False),
    "colonies": Experiment(colonies, {"cells": 16_800, "groups": 20, "wells": 12, "field": 128, "pixel_size": 1.3,
                                      "look": "phase", "hours": (60.0, 60.0), "onset": 0.0}, False),
    "states": Experiment(states, {"cells": 4000, "groups": 20, "wells": 1, "field": 256, "pixel_size": 1.3, "frames": 6,
                                  "look": "phase", "hours": (0.0, 75.0), "onset": 12.0}, False),
}
