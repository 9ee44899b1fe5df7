"""Fields of view with a fault planted in two of five, by which a quality check is judged: what it finds and misses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from potency.errors import PlanError, nearest
from potency.measurement.quality.camera import noise
from potency.simulate import faults
from potency.simulate.defocus import blurred
from potency.simulate.survey import visits
from potency.simulate.world import World, wells_of
from potency.simulate.write import new_folder, table

if TYPE_CHECKING:
    from potency.data.manifest import Manifest

SOUND = "nothing"
FAULTS = ("out of focus", "uneven light", "bubble", "some specks", "many specks")
BLUR, BOWL = 4.0, 0.25  # px of sigma; share of the light
SPECKS = {"some specks": 150, "many specks": 400}  # in a field of 448 px, whose own are about a hundred
CROWD, CLONES = 40, 10  # cells of a field; groups among which the fields are dealt
SIDE = 448  # px, so that bubbles can be looked for


def faulty(folder: Path, fields: int, seed: int = 0) -> Manifest:
    """Simulated fields in phase contrast, column `fault` says what was planted; drawn once, then read.

    Of five fields in a row the second and the fourth are spoilt, each fault in its turn; groups are ten clones.

    Raises:
        PlanError: under 30 fields, of which some fault would be missing. ManifestError: the folder cannot be written.
    """
    from potency.data.manifest import Manifest

    if fields < 3 * CLONES:
        raise PlanError(f"{fields} fields hold not every fault", "faulty(fields=...)", f"ask for {3 * CLONES} or more")
    if not (folder / "labels.csv").is_file():
        _draw(folder, fields // CLONES, seed)
    return Manifest.read(folder)


def _draw(folder: Path, wells: int, seed: int) -> None:
    import tifffile

    world = World.of({"look": "phase", "field": SIDE, "cells": CROWD * wells * CLONES, "groups": CLONES, "wells": wells,
                      "seed": seed})  # fmt: skip
    rng = np.random.default_rng([seed, 23])
    rows: list[dict[str, object]] = []
    folder.parent.mkdir(parents=True, exist_ok=True)
    with new_folder(folder) as draft:
        for number, visit in enumerate(visits(world, wells_of(world))):
            turn, place = divmod(number, 5)
            fault = FAULTS[(2 * turn + place // 2) % len(FAULTS)] if place in (1, 3) else SOUND
            plane = spoil(visit.field.pictures["phase"].astype(np.float32), fault, rng)
            name = f"field{number:03d}.tif"
            tifffile.imwrite(draft / name, np.clip(np.rint(plane), 0, 65535).astype(np.uint16))
            rows.append({"file": name, "fault": fault, "group": visit.row["group"], "simulated": True})
        table(draft / "labels.csv", rows)


def spoil(plane: NDArray[Any], fault: str, rng: np.random.Generator) -> NDArray[Any]:
    """A (H, W) plane with one of FAULTS, or as it is (SOUND).

    Raises:
        PlanError: no such fault.
    """
    if fault == SOUND:
        return plane
    if fault == "out of focus":
        return blurred(plane, BLUR, noise(plane, True), rng)
    if fault == "uneven light":
        return np.asarray(plane * faults.shade((plane.shape[0], plane.shape[1]), bowl=BOWL))
    if fault == "bubble":
        return faults.bubble(plane, rng)
    if fault in SPECKS:
        return faults.specks(plane, rng, SPECKS[fault])
    raise PlanError(f"there is no fault {fault!r}", "spoil(fault=...)", nearest(fault, FAULTS))
