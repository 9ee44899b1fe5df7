"""A world of differentiating stem cells with known truth, drawn as a microscope would see it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from potency.errors import PlanError, nearest
from potency.simulate.world import World

if TYPE_CHECKING:
    from potency.data.manifest import Manifest

__all__ = ["World", "simulate"]


def simulate(
    into: str | Path,
    *,
    kind: str = "crops",
    progress: Callable[[int, int], None] | None = None,
    **settings: object,
) -> Manifest:
    """Simulate an experiment into the new folder `into` and read it back as a manifest.

    `kind` is one of EXPERIMENTS (crops, fields, movie, wells, course, induction, tracks, viability, rods, proteins,
    colonies, states); `settings` are those of `World` (look, classes, cells, groups, seed, shortcut ...);
    `progress(done, total)` is called as pictures are written. The same settings give the same bytes. Raises PlanError
    for settings that are wrong, ManifestError if the folder cannot be written.
    """
    from potency.simulate.experiment import EXPERIMENTS
    from potency.simulate.write import describe, new_folder

    if kind not in EXPERIMENTS:
        raise PlanError(f"there is no simulated experiment {kind!r}", "kind", nearest(kind, EXPERIMENTS))
    experiment = EXPERIMENTS[kind]
    world = World.of({**experiment.settings, **settings})
    if world.shortcut > 0 and not experiment.labelled:
        mend = "leave shortcut out, or simulate " + " or ".join(k for k, e in EXPERIMENTS.items() if e.labelled)
        raise PlanError(f"pictures of kind {kind!r} have no label that a shortcut could agree with", "shortcut", mend)
    if world.pixel_size < experiment.finest:
        raise PlanError(f"cells of kind {kind!r} are drawn in pixels of {experiment.finest:g} um and more",
                        f"pixel_size {world.pixel_size:g}", "take a larger pixel_size")  # fmt: skip
    with new_folder(Path(into)) as folder:
        lines = experiment.fill(world, folder, progress or (lambda done, total: None))
        describe(folder, kind, world.parameters(), lines)
    from potency.data.manifest import Manifest

    apart = kind == "crops" and len(world.channels) > 1  # crops keep each channel in a folder of its own
    return Manifest.read(Path(into), channels=world.channels if apart else ())
