"""Kinds of simulated experiments as folders: each takes a world and fills a folder with pictures, truth and a table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from potency.simulate import crops as single
from potency.simulate.artefact import KINDS as ARTEFACTS
from potency.simulate.batch import Wells
from potency.simulate.world import World
from potency.simulate.write import png, table

Progress = Callable[[int, int], None]


def crops(world: World, folder: Path, progress: Progress) -> list[str]:
    """Single-cell crops: `labels.csv`, a folder a channel, `masks/`, `evidence/`, and `shortcut/` if one is planted."""
    wells = Wells.of(np.random.default_rng([world.seed, 1]), world.groups, world.wells, world.classes, world.batch)
    who = single.cast(world, wells, np.random.default_rng([world.seed, 2]))
    parts = [*world.channels, "masks", "evidence", *(["shortcut"] if world.shortcut > 0 else [])]
    for part in parts:
        (folder / part).mkdir()
    rows: list[dict[str, object]] = []
    for chunk in single.render(world, wells, who):
        for place, number in enumerate(range(*chunk.rows.indices(world.cells))):
            column = {name: values[number] for name, values in who.column.items()}
            name = f"{column['plate']}_{column['well']}_{column['group']}_t{who.time[number]:03.0f}h_{number:05d}.png"
            for channel, pictures in chunk.pictures.items():
                png(folder / channel / name, pictures[place])
            png(folder / "masks" / name, chunk.mask[place].astype(np.uint16))
            png(folder / "evidence" / name, chunk.evidence[place].astype(np.uint8) * 255)
            row: dict[str, object] = {
                "file": f"{world.channels[0]}/{name}", "label": world.fates[who.fate[number]], **column,
                "time": round(float(who.time[number]), 2), "x": round(float(who.x[number]), 1),
                "y": round(float(who.y[number]), 1), "maturity": round(float(who.maturity[number]), 4),
                "mask": f"masks/{name}", "evidence": f"evidence/{name}",
            }  # fmt: skip
            if chunk.shortcut is not None and chunk.planted is not None:
                png(folder / "shortcut" / name, chunk.shortcut[place].astype(np.uint8) * 255)
                row |= {"artefact": ARTEFACTS[chunk.planted[place] % 4], "shortcut": f"shortcut/{name}"}
            rows.append(row | {"simulated": True})
        progress(min(chunk.rows.stop, world.cells), world.cells)
    table(folder / "labels.csv", rows)
    return [
        "labels.csv      one row a cell: file, label (its fate), group (clone), donor, plate, well, time in hours,",
        "                x and y of the crop in its field, maturity (0 = still like a stem cell, 1 = fully its fate)",
        *[f"{channel + '/':<16}pictures, 16 bit" for channel in world.channels],
        "masks/          1 where the cell is",
        "evidence/       255 where the fate of the cell can be seen; empty while the cell is not yet mature",
    ]


EXPERIMENTS: dict[str, Callable[[World, Path, Progress], list[str]]] = {"crops": crops}
