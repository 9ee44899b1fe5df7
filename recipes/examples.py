"""The recipe of the example bundles that ship in the package.

`python recipes/examples.py [NAME ...] [--into out/examples] [--trust]`: each learns by the protocol of `potency
train`, five folds by group with baselines and a report, and is then put into potency/bundle/examples/NAME with the
label it carries: what it answers, what it learned from, under which licence. The images kept inside to check it at
every load are simulated, also where it learned from real ones, and so are the training images that are kept to be
shown: of real ones none is. Real images are read from the folder that POTENCY_DATA names; without it those examples
are left alone.

With --trust the weights that ship stay as they are, and what says how far to believe them is fitted anew: of simulated
examples on clones that they never learned from, which measure their figures anew as well; of real ones on the groups of
one fold, by a model of the same plan that learned from the other four.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.bundle import Bundle
from potency.bundle.model_card import SETS
from potency.bundle.shipped import SCHEME, SHELVES
from potency.data.facts import Facts
from potency.data.manifest import Manifest
from potency.embedding.learned import remembered
from potency.evaluation.digest import digest
from potency.inference.origin import versions
from potency.inference.pool import Pool
from potency.inference.predict import predict
from potency.learning import protocol
from potency.learning.account import across, calibrated, report
from potency.learning.folds import Done, divided
from potency.learning.knowing import acquainted
from potency.learning.planning import planned
from potency.learning.train import examples, train
from potency.learning.truths import truths
from potency.simulate import simulate
from potency.tasks import task_for

LIMIT = 8 * 2**20  # bytes of a bundle
DATA = os.environ.get("POTENCY_DATA", "")
JURKAT = "classify/jurkat_ifc_cellcycle"
FRESH = 1000  # added to the seed of an example: clones that it never learned from


@dataclass(frozen=True)
class Example:
    """One bundle that ships: its label, and the rows it learns from."""

    title: str
    about: str  # what it learned from, and what that means for other images
    licence: str
    rows: Callable[[Path], Manifest | None]  # given a folder to work in; None: not at hand
    scene: Mapping[str, Any]  # simulated crops that are kept inside
    fresh: Callable[[Path], Manifest] | None = None  # rows of groups that it never learned from


def medium(place: Path, seed: int = 0) -> Manifest:
    return drawn(place, look="brightfield", cells=3000, groups=60, seed=seed)


def pluripotent(place: Path, seed: int = 1) -> Manifest:
    cells = drawn(place, look="phase", cells=3000, groups=60, seed=seed)
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
        SIMULATED, medium, {"look": "brightfield"}, partial(medium, seed=FRESH),
    ),
    "pluripotent": Example(
        "pluripotent or differentiated (phase contrast, simulated)",
        "Learned from 3,000 SIMULATED single cells in phase contrast, 60 simulated clones. It shows the way from an "
        "image to an answer; what it says of a real cell means nothing.",
        SIMULATED, pluripotent, {"look": "phase", "seed": 1}, partial(pluripotent, seed=FRESH + 1),
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
    choices = protocol.Choices(title=f"Example {name}", command=command, resume=(place / "run.json").is_file(),
                               gallery=example.licence == SIMULATED)  # fmt: skip
    with Pool(0) as on:
        outcome = protocol.run(rows, task, into=place, plan=planned(Facts.of(rows), task), choices=choices, on=on,
                               progress=said)  # fmt: skip
    bundle = Bundle.load(outcome.bundle)
    label = {"title": example.title, "about": example.about, "licence": example.licence, "recipe": command}
    bundle = bundle.but(data={**bundle.card.data, **label})
    kept = drawn(into / f"{name}-kept", cells=4, groups=4, wells=1, **example.scene)
    stand_ins = [{"image": like(sample["image"], bundle)} for sample in examples(kept, bundle.card.plan)]
    return put(replace(bundle, examples=stand_ins), name)


def trusted(name: str, into: Path) -> Path | None:
    """The bundle that ships, its weights kept, with trust that is fitted on groups never learned from."""
    example, bundle = EXAMPLES[name], Bundle.load(f"{SCHEME}{name}")
    learned = example.rows(into / f"{name}-images")
    if learned is None:
        return None
    if learned.fingerprint() != bundle.card.data["fingerprint"]:
        sys.exit(f"{name}: these images are not those it learned from; learn it again")
    task, classes = bundle.task, bundle.card.plan.classes
    bundle = acquainted(bundle.but(trust={}), learned, [task.stratum(one) for one in truths(learned, task)])
    if example.fresh is None:
        asked, fresh = apart(learned, bundle, into / f"{name}-apart")
    else:
        asked, fresh = bundle, example.fresh(into / f"{name}-fresh")
    told = predict(fresh, asked, into=None, progress=lambda done, total: said(done, total, "answering"))
    columns = ["id", *(c for c in told.table if str(c).startswith("prediction"))]
    # Folds of rows that nothing was learned from: each is mended by what the others say, as in a training.
    rows = fresh.split("group", 5, 0, "stratified")
    parts = [told.table.loc[rows.table["fold"].eq(k).to_numpy(), columns] for k in range(5)]
    engine = told.origin["prediction.engine"]
    done = [Done("prediction", k, part, Path(), [], {}, engine) for k, part in enumerate(parts)]
    answered = rows.add(calibrated(done, rows, task, classes), {"prediction": "category"})
    facts = {
        "title": f"Example {name}, on new groups", "split_kind": "external", "simulated": example.fresh is not None,
        "split": "groups that it never learned from", "command": f"python recipes/examples.py {name} --trust",
        "fingerprint": fresh.fingerprint(), "versions": {**versions(), "engine": engine},
    }  # fmt: skip
    seen = {**digest(report(answered, done, draws=1000, seed=0, facts=facts)), "engine": engine}
    if example.fresh is None:  # one fold of five: the figures of all five say more
        seen = {**bundle.card.validation, "ood": seen["ood"], "calibration": seen["calibration"], "metrics": {
            **bundle.card.validation["metrics"], **{k: seen["metrics"][k] for k in SETS if k in seen["metrics"]}
        }}  # fmt: skip
    bundle = bundle.but(trust=across(done, rows, task, classes), validation=seen)
    kept = None if example.fresh is None else remembered(learned, bundle)
    return put(replace(bundle, gallery=kept), name)


def apart(learned: Manifest, bundle: Bundle, into: Path) -> tuple[Bundle, Manifest]:
    """A model of the same plan that learned from four folds of the groups, and the rows of the fifth."""
    rows = divided(learned.split("group", 5, 0, "stratified"), 0, 0.1, 0)
    step = lambda done, total: said(done, total, "learning without one fold")  # noqa: E731
    found = train(rows, bundle.task, into=into, plan=bundle.card.plan, progress=step)
    return found.but(trust={}), rows.of("test")


def put(bundle: Bundle, name: str) -> Path:
    """Write a bundle into the package, if it is small enough to ship."""
    place = SHELVES[SCHEME] / name
    bundle.save(place)
    size = sum(path.stat().st_size for path in place.iterdir())
    if size > LIMIT:
        sys.exit(f"{place} has {size / 2**20:.1f} MB; {LIMIT // 2**20} are the most")
    return place


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
    parser.add_argument("--trust", action="store_true", help="keep the weights that ship, fit the rest anew")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in EXAMPLES]:
        parser.error(f"there is no example {unknown[0]!r}")
    for name in options.names or EXAMPLES:
        found = (trusted if options.trust else made)(name, options.into)
        print(found or f"{name}: its images are not at hand (POTENCY_DATA), left as it is")


if __name__ == "__main__":
    main()
