"""The recipe of the models that ship in the package: `nuclei` and `cells-phase`.

`python recipes/models.py [NAME ...] [--start NAME] [--settle] [--into out/models]`: each learns by
`potency.learning.train`, from nothing or on from the one that ships, from real images whose licences allow its weights
to be given away, read from the folder that POTENCY_DATA names; a run that was stopped goes on. Test rows (of each set's
own division, or whole mosaics) are seen by nothing here: benchmarks/nuclei.py measures on them. A model is put into
potency/bundle/models/NAME with the label it carries.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import hashlib
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import tifffile
from numpy.typing import NDArray

from potency.answers import Labels
from potency.answers.labels import diameter
from potency.bundle import Bundle, NetworkMember
from potency.bundle.pieces import enlarged
from potency.bundle.shipped import SHELVES
from potency.data.facts import Facts
from potency.data.manifest import Manifest
from potency.data.tiles import TWICE
from potency.learning.planning import planned
from potency.learning.settling import with_closer, with_thresholds
from potency.learning.train import train
from potency.learning.truths import truths
from potency.simulate import simulate
from potency.tasks import find_task

DATA = Path(os.environ.get("POTENCY_DATA", ""))
LIMIT = 8 * 2**20  # bytes of a bundle
WEIGHTS = "BSD-3-Clause"  # their licence
SEED = 1  # of simulated images, which no system's are drawn with
CHECKED = 0.08  # share of the groups that are learned from which choose the checkpoint


@dataclass(frozen=True)
class Model:
    """One model that ships: its label, the rows it learns from, and what differs from the usual plan."""

    title: str
    about: str  # what it learned from, and what that means for other images
    licence: str
    rows: Callable[[], Manifest]
    nearer: float  # px of the median object under which an image is learned from at twice its size; 0: none
    changes: Mapping[str, Any]
    further: Mapping[str, Any]  # what differs from that where it goes on
    drawn: tuple[str, Mapping[str, Any]]  # of simulated images that `--simulated` adds: column of the truth, settings


def fluorescence() -> pd.DataFrame:
    """Fluorescence images of the Data Science Bowl in their own division: fields of one slide may be on both sides."""
    folder = "segment/dsb2018"
    told = pd.read_csv(DATA / folder / "manifest.csv").query("name.str.startswith('fluo')")
    files = folder + "/" + told["split"] + "/{}/" + told["name"]
    return pd.DataFrame({
        "image": [f"{name.format('images')}.png" for name in files], "stratum": "fluorescence",
        "truth": [f"{name.format('labels')}.tif" for name in files],
        "split": told["split"].to_list(), "group": told["name"].to_list(),
    })  # fmt: skip


def stained() -> pd.DataFrame:
    """The stained images of the Data Science Bowl; every third mosaic is kept for the test."""
    folder = "tissue/dsb2018_stained"
    told = pd.read_csv(DATA / folder / "manifest.csv")
    mosaics = sorted(told["group"].unique(), key=_drawn)
    return pd.DataFrame({
        "image": folder + "/" + told["image"], "truth": folder + "/" + told["inst"], "group": told["group"],
        "stratum": "stained", "split": np.where(told["group"].isin(mosaics[::3]), "test", "train"),
    })  # fmt: skip


def phase() -> pd.DataFrame:
    """Usiigaci in its own division: phase contrast of whole cells."""
    folder = "segment/usiigaci_phase"
    told = pd.read_csv(DATA / folder / "manifest.csv")
    files = folder + "/" + told["split"] + "/{}/" + told["name"]
    return pd.DataFrame({
        "image": [f"{name.format('images')}.png" for name in files], "stratum": "phase",
        "truth": [f"{name.format('labels')}.tif" for name in files],
        "split": told["split"].to_list(), "group": told["name"].to_list(),
    })  # fmt: skip


def nuclei() -> Manifest:
    return _manifest(pd.concat([fluorescence(), stained()], ignore_index=True))


def cells() -> Manifest:
    return _manifest(phase())


def _manifest(table: pd.DataFrame) -> Manifest:
    """Rows whose groups are divided into train, validation and test; each stratum has groups in all three."""
    checked: set[str] = set()
    for _, some in table[table["split"].eq("train")].groupby("stratum"):
        names = sorted(some["group"].unique(), key=_drawn)
        checked |= set(names[: max(1, round(CHECKED * len(names)))])
    split = np.where(table["split"].eq("train") & table["group"].isin(checked), "validation", table["split"])
    return Manifest.of_rows(table.assign(split=split), DATA, kinds={"truth": "labels"})


def nearer(rows: Manifest, limit: float, into: Path) -> Manifest:
    """The rows as a model meets them that looks closely at objects under a limit (px): at twice their size."""
    made, table, task = into / "nearer", rows.table.copy(), find_task("instances")
    made.mkdir(parents=True, exist_ok=True)
    for at, row, truth in zip(table.index, rows.records(), truths(rows, task), strict=True):
        paths = {column: rows.folder / str(row[column]) for column in ("image", "truth")}
        if diameter([truth]) < limit:
            paths = {column: made / f"{at}-{column}.tif" for column in paths}
            pixels, known = rows.open(row).crop(), cast(Labels, truth).instances
            larger = enlarged(pixels[None].astype(np.float32), TWICE)[0].round().clip(0, np.iinfo(pixels.dtype).max)
            tifffile.imwrite(paths["image"], np.moveaxis(larger.astype(pixels.dtype), 0, -1).squeeze(),
                             photometric="rgb" if len(pixels) == 3 else "minisblack")  # fmt: skip
            tifffile.imwrite(paths["truth"], known.repeat(TWICE, 0).repeat(TWICE, 1).astype(np.uint16))
        for column, path in paths.items():
            table.loc[at, column] = str(path.resolve())
    return Manifest.of_rows(table, into, kinds=rows.kinds)


def simulated(rows: Manifest, truth: str, settings: Mapping[str, Any], into: Path) -> Manifest:
    """The rows and, to learn from only, simulated fields: validation and test rows stay real."""
    place = into / "simulated"
    if not (place / "parameters.json").is_file():
        simulate(place, kind="fields", seed=SEED, **settings)
    told = pd.read_csv(place / "labels.csv")
    made = pd.DataFrame({
        "image": [str((place / name).resolve()) for name in told["file"]], "group": "simulated " + told["group"],
        "truth": [str((place / name).resolve()) for name in told[truth]], "split": "train", "stratum": "simulated",
    })  # fmt: skip
    kept = rows.table[list(made)]
    return Manifest.of_rows(pd.concat([kept, made], ignore_index=True), rows.folder, kinds={"truth": "labels"})


def _drawn(name: str) -> float:
    """A number between 0 and 1 that belongs to a name."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) / 16**8


LIGHT = {"gain": 0.15, "gamma": 0.6, "noise": 0.1, "blur": 2.0, "negative": 0.3}
MODELS: Mapping[str, Model] = {
    "nuclei": Model(
        "nuclei in fluorescence and in stained tissue, each with its outline",
        "Nuclei 9 to 95 px across, made up to 1.8 times smaller and larger; stained tissue is not its strength. Whole "
        "cells, phase contrast and bright field are outside what it has seen. Learned from 397 fluorescence images "
        "(Data Science Bowl 2018, stage 1; 35 more chose checkpoint and thresholds) and 35 images of stained tissue "
        "from 17 mosaics of the same set (2 images of one mosaic more chose), those of nuclei under 24 px at twice "
        "their size, on a processor in four runs, each from the weights of the last: 4,500 steps, 1,500, 4,000 and "
        "2,200.",
        "images CC0; weights BSD-3-Clause", nuclei, 24,
        {"network": "unet:width=32:depth=2:shrink=2", "decoder": "flows", "tile": 256, "batch": 8, "steps": 4500,
         "rate": 2e-3, "validations": 3, "balance": 0.6, "precision": "bfloat16",
         "augment": {"flip": 1.0, "turn": 1.0, "zoom": 0.8, **LIGHT, "noise": 0.12, "grain": 0.12, "blur": 3.0}},
        {"steps": 2200, "rate": 1e-3, "warmup": 0.05, "validations": 1},
        ("nuclei", {"look": "nuclei", "groups": 40, "wells": 1, "cells": 2400, "field": 256, "pixel_size": 0.5}),
    ),
    "cells-phase": Model(
        "whole cells in phase contrast, each with its outline",
        "Adherent, elongated cells about 40 px wide; where they touch its outlines are rough. Other cells, densities "
        "and microscopes are outside what it has seen. Learned from 41 phase-contrast images of one set (Usiigaci, "
        "10x, about 0.87 um a pixel; 4 more chose checkpoint and thresholds), on a processor in four runs, each from "
        "the weights of the last: 2,000 steps, 900, 4,000 and 2,400.",
        "images MIT; weights BSD-3-Clause", cells, 0,
        {"network": "unet:width=32:depth=2:shrink=2", "decoder": "flows", "tile": 256, "batch": 8, "steps": 2000,
         "rate": 2e-3, "validations": 4, "precision": "bfloat16",
         "augment": {"flip": 1.0, "turn": 1.0, "zoom": 0.7, **LIGHT, "negative": 0.0, "grain": 0.1}},
        {"steps": 2400, "rate": 1e-3, "warmup": 0.05, "validations": 1},
        ("mask", {"look": "phase", "groups": 16, "wells": 1, "cells": 480, "field": 512, "pixel_size": 0.3,
                  "hours": (0.0, 20.0), "classes": 2}),
    ),
}  # fmt: skip


def learned(name: str, into: Path, start: str = "", draw: bool = False, **changes: Any) -> Bundle:
    """Train one model, from nothing or from the weights of a bundle; `draw`: from simulated images beside the real."""
    model, task = MODELS[name], find_task("instances")
    seen = model.rows().where(lambda table: table["split"].ne("test"))
    seen = simulated(seen, *model.drawn, into / name) if draw else seen
    rows, own = nearer(seen, model.nearer, into / name), {**model.changes, **(model.further if start else {})}
    plan = planned(Facts.of(rows.of("train")), task, **{"channels": ("grey",), **own, **changes})
    began = time.monotonic()

    def said(done: int, total: int) -> None:
        if done % 50 == 0:
            print(f"{name}: {done} of {total}, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)

    return train(rows, task, into=into / name, plan=plan, start=Bundle.load(start) if start else None, progress=said)


def settled(name: str) -> Bundle:
    """The model that ships with its thresholds chosen anew on the validation rows; the weights stay."""
    bundle = Bundle.load(name)
    (member,) = bundle.members
    assert isinstance(member, NetworkMember)
    bare = NetworkMember(member.task, member.plan.but(settings={}, closer=0), member.nets)
    checked = MODELS[name].rows().of("validation")
    found = with_thresholds(with_closer(with_thresholds(bare, checked), checked), checked)
    print(f"{name}: {dict(found.plan.settings)}, closer {found.plan.closer:g}", file=sys.stderr)
    return replace(bundle.but(plans=(found.plan,)), members=(found,))


def shipped(name: str, bundle: Bundle, recipe: str) -> Path:
    """The bundle with its label in the package, the images inside it simulated: none of anybody's are given away."""
    model = MODELS[name]
    label = {"title": model.title, "about": model.about, "licence": model.licence, "recipe": recipe,
             "weights_licence": WEIGHTS}  # fmt: skip
    made = bundle.but(data={**bundle.card.data, **label})
    made = replace(made, examples=[{"image": field(seed)} for seed in range(2)]).save(SHELVES[""] / name)
    assert made.folder is not None
    size = sum(path.stat().st_size for path in made.folder.iterdir())
    if size > LIMIT:
        sys.exit(f"{made.folder} has {size / 2**20:.1f} MB; {LIMIT // 2**20} are the most")
    return made.folder


def field(seed: int) -> NDArray[np.uint8]:
    """A drawn field of bright discs on noise, (1, 96, 96): what a model is asked whenever it is loaded."""
    rng, side = np.random.default_rng(seed), 96
    y, x = np.mgrid[:side, :side]
    light = np.full((side, side), 20.0)
    for v, u in np.ndindex(4, 4):
        middle, radius = (rng.uniform(-5, 5, 2) + 12 + 24 * np.array([v, u])), rng.uniform(5, 10)
        light += 150 * np.clip(radius - np.hypot(y - middle[0], x - middle[1]), 0, 1)
    return np.clip(light + rng.normal(0, 5, light.shape), 0, 255).astype(np.uint8)[None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MODELS)} (default: all)")
    parser.add_argument("--into", type=Path, default=Path("out/models"))
    parser.add_argument("--keep", action="store_true", help="leave the package as it is")
    parser.add_argument("--settle", action="store_true", help="only choose the thresholds of what ships anew")
    parser.add_argument("--start", default="", metavar="BUNDLE", help="begin with its weights; the name: what ships")
    parser.add_argument("--simulated", action="store_true", help="learn from simulated images too: no better so far")
    parser.add_argument("--set", nargs="*", default=[], metavar="FIELD=VALUE", help="plan otherwise, to try things")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in MODELS]:
        parser.error(f"there is no model {unknown[0]!r}")
    for name in options.names or MODELS:
        call = f"python recipes/models.py {name}"
        if options.settle:
            learned_by = Bundle.load(name).card.data["recipe"].partition(";")[0]
            recipe, bundle = f"{learned_by}; {call} --settle", settled(name)
        else:
            recipe = f"{call} --start {options.start}" if options.start else call
            changes = dict(each.split("=", 1) for each in options.set)
            bundle = learned(name, options.into, options.start, options.simulated, **changes)
        print(bundle.folder if options.keep else shipped(name, bundle, recipe))


if __name__ == "__main__":
    main()
