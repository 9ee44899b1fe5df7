"""The recipe of the example bundles that ship in the package.

`python recipes/examples.py [NAME ...] [--into out/examples]`: each learns by the protocol of `potency train`, five
folds by group with baselines and a report, and is then put into potency/bundle/examples/NAME with the label it
carries: what it answers, what it learned from, under which licence. The images kept inside to check it at every load
are simulated, also where it learned from real ones. Real images are read from the folder that POTENCY_DATA names;
without it those examples are left alone.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.bundle import Bundle
from potency.bundle.shipped import SCHEME, SHELVES
from potency.data.facts import Facts
from potency.data.manifest import Manifest
from potency.inference.pool import Pool
from potency.learning import protocol
from potency.learning.planning import planned
from potency.learning.train import examples
from potency.simulate import simulate
from potency.tasks import task_for

LIMIT = 8 * 2**20  # bytes of a bundle
DATA = os.environ.get("POTENCY_DATA", "")
JURKAT = "classify/jurkat_ifc_cellcycle"


@dataclass(frozen=True)
class Example:
    """One bundle that ships: its label, and the rows it learns from."""

    title: str
    about: str  # what it learned from, and what that means for other images
    licence: str
    rows: Callable[[Path], Manifest | None]  # given a folder to work in; None: not at hand
    scene: Mapping[str, Any]  # simulated crops that are kept inside


def medium(place: Path) -> Manifest:
    return drawn(place, look="brightfield", cells=3000, groups=60)


def pluripotent(place: Path) -> Manifest:
    cells = drawn(place, look="phase", cells=3000, groups=60, seed=1)
    fates = cells.table["truth"].eq("stem").map({True: "pluripotent", False: "differentiated"})
    return cells.add({"truth": fates.to_numpy()}, "category")


def cell_cycle(place: Path) -> Manifest | None:
    folder = Path(DATA) / JURKAT
    return Manifest.read(folder, classes=("G1", "S_phase", "G2", "Prophase")) if DATA and folder.is_dir() else None


def drawn(place: Path, **settings: Any) -> Manifest:
    """A simulated experiment, drawn once."""
    if (place / "parameters.json").is_file():
        return Manifest.read(place)
    return simulate(place, kind="crops", **settings)


SIMULATED = "simulated: drawn by this program, BSD-3-Clause"
EXAMPLES: Mapping[str, Example] = {
    "medium": Example(
        "which differentiation medium a neural stem cell grew in, by the fate it takes there (brightfield, simulated)",
        "Learned from 3,000 SIMULATED neural stem cells in brightfield, 60 simulated clones. It shows the way from an "
        "image to an answer; what it says of a real cell means nothing.",
        SIMULATED, medium, {"look": "brightfield"},
    ),
    "pluripotent": Example(
        "pluripotent or differentiated (phase contrast, simulated)",
        "Learned from 3,000 SIMULATED single cells in phase contrast, 60 simulated clones. It shows the way from an "
        "image to an answer; what it says of a real cell means nothing.",
        SIMULATED, pluripotent, {"look": "phase", "seed": 1},
    ),
    "cell-cycle": Example(
        "cell-cycle phase of a Jurkat cell (imaging flow cytometry, brightfield, real)",
        "Learned from 3,306 real brightfield images of Jurkat cells, 40 x 40 pixels, by imaging flow cytometry (Blasi "
        "et al., Nature Communications 7:10256, 2016; from github.com/minh-doan/MLCP). One montage a class: what sets "
        "montages apart may have been learned as well. Other cells and other instruments are outside what it has seen.",
        "images BSD-3-Clause, (c) 2017 minh-doan; weights BSD-3-Clause", cell_cycle,
        {"look": "brightfield", "size": 40, "pixel_size": 1.0},
    ),
}  # fmt: skip


def made(name: str, into: Path) -> Path | None:
    """Learn one example and put it into the package; its folder there, or None where its images are not at hand."""
    example = EXAMPLES[name]
    rows = example.rows(into / f"{name}-images")
    if rows is None:
        return None
    task, place = task_for(rows.kinds["truth"]), into / name
    command = f"python recipes/examples.py {name}"
    choices = protocol.Choices(title=f"Example {name}", command=command, resume=(place / "run.json").is_file())
    with Pool(0) as on:
        outcome = protocol.run(rows, task, into=place, plan=planned(Facts.of(rows), task), choices=choices, on=on,
                               progress=said)  # fmt: skip
    bundle = Bundle.load(outcome.bundle)
    label = {"title": example.title, "about": example.about, "licence": example.licence, "recipe": command}
    bundle = bundle.but(data={**bundle.card.data, **label})
    kept = drawn(into / f"{name}-kept", cells=4, groups=4, wells=1, **example.scene)
    stand_ins = [{"image": like(sample["image"], bundle)} for sample in examples(kept, bundle.card.plan)]
    shipped = replace(bundle, examples=stand_ins).save(SHELVES[SCHEME] / name)
    size = sum(path.stat().st_size for path in (SHELVES[SCHEME] / name).iterdir())
    if size > LIMIT:
        sys.exit(f"{SHELVES[SCHEME] / name} has {size / 2**20:.1f} MB; {LIMIT // 2**20} are the most")
    return shipped.folder


def like(image: NDArray[Any], bundle: Bundle) -> NDArray[Any]:
    """A simulated image in the range of values that the model has seen."""
    low, high = next(iter(bundle.card.plan.scaling.values()))
    dark, bright = image.min(), image.max()
    return np.asarray(low + (image - dark) / max(bright - dark, 1) * (high - low), np.uint16)


def said(done: float, total: float, what: str) -> None:
    if done == total:
        print(f"{what}: {done:g}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(EXAMPLES)} (default: all)")
    parser.add_argument("--into", type=Path, default=Path("out/examples"))
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in EXAMPLES]:
        parser.error(f"there is no example {unknown[0]!r}")
    for name in options.names or EXAMPLES:
        print(made(name, options.into) or f"{name}: its images are not at hand (POTENCY_DATA), left as it is")


if __name__ == "__main__":
    main()
