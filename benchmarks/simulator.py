"""How fast the simulator draws: megapixels a second of one core, for crops, fields and a movie in every look."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from potency.simulate import World, crops
from potency.simulate.field import take
from potency.simulate.population import Film, overview
from potency.simulate.survey import visits
from potency.simulate.world import wells_of

LOOKS = ("brightfield", "phase", "fluorescence")


def draw_crops(world: World) -> int:
    """Pixels of all crops in all channels; nothing is written."""
    wells = wells_of(world)
    who = crops.cast(world, wells, np.random.default_rng([world.seed, 2]))
    return sum(picture.size for chunk in crops.render(world, wells, who) for picture in chunk.pictures.values())


def draw_fields(world: World) -> int:
    """Pixels of one field of every well in all channels."""
    return sum(p.size for visit in visits(world, wells_of(world)) for p in visit.field.pictures.values())


def draw_movie(world: World) -> int:
    """Pixels of all frames of one movie in all channels, its lineages included."""
    wells, rng, pixels = wells_of(world), np.random.default_rng(0), 0
    film = Film.of(world, wells, 0, world.cells, rng)
    for frame in range(world.frames):
        field = take(film.residents(frame), film.ground, overview(wells, 0, rng), world.channels, world.pixel_size, rng)
        pixels += sum(picture.size for picture in field.pictures.values())
    return pixels


def cases(quick: bool) -> Iterator[tuple[str, str, Callable[[World], int], World]]:
    """What is measured: name, size in words, how, and the world."""
    cells, wells, frames = (128, 1, 4) if quick else (1024, 6, 24)
    for look in LOOKS:
        world = World(look=look, cells=cells)
        yield f"crops {look}", f"{cells} crops of 64 x 64, {len(world.channels)} channels", draw_crops, world
        world = World(look=look, cells=60 * wells, groups=1, wells=wells, field=1024)
        yield (
            f"fields {look}",
            f"{wells} fields of 1024 x 1024, 60 cells each, {len(world.channels)} channels",
            draw_fields,
            world,
        )
    world = World(look="phase", cells=24, groups=1, wells=1, frames=frames, hours=(36, 60))
    yield "movie phase", f"{frames} frames of 512 x 512 from 24 founders", draw_movie, world


def measure(quick: bool) -> list[dict[str, Any]]:
    """One row a case: the median of repeats in time of the processor, cases taken in turn."""
    plan = list(cases(quick))
    spent: dict[str, list[float]] = {name: [] for name, *_ in plan}
    pixels: dict[str, int] = {}
    for repeat in range(1 + (1 if quick else 7)):
        for name, _, how, world in plan:
            start = time.process_time()
            pixels[name] = how(world)
            if repeat:  # the first round fills the tiles of texture
                spent[name].append(time.process_time() - start)
    return [
        {"name": name, "source": "potency", "role": "target", "size": size,
         "seconds": round(statistics.median(spent[name]), 4),
         "mpx_per_s": round(pixels[name] / statistics.median(spent[name]) / 1e6, 2)}
        for name, size, _, _ in plan
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and smaller repeats; the size says so")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    asked = parser.parse_args()
    rows = measure(asked.quick)
    if asked.json:
        print(json.dumps(rows))
    else:
        for row in rows:
            print(f"{row['name']:<22}{row['mpx_per_s']:>8.1f} Mpx/s   {row['size']}")


if __name__ == "__main__":
    main()
