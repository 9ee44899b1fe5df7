"""Whether a model sees that images are foreign to it, and how often it calls its own kind foreign.

`python benchmarks/ood.py [--runs out/real] [--json] [--quick]`. Needs POTENCY_DATA, and the folds that
`benchmarks/real_sets.py` left in `--runs`; sets without them are left out. Where the training rows of a fold lie is
fitted anew, held-out rows of the fold are placed on the scale of the other folds, and foreign images (the other sets,
noise, the own images inverted, blurred or with pixels shuffled) go through each model. Rows name the score: "distance"
is that of the package; "energy" (minus the log of the sum of exponentials of the outputs, Liu 2020), "nearest" (cosine
to the fifth nearest training image, Sun 2022) and "both" (the mean rarity of distance and energy) are other ways on the
same numbers.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from real_sets import SETS
from scipy.ndimage import gaussian_filter
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score

from potency.answers.rarity import fit_rarity, limit_of, rarity
from potency.bundle import Bundle
from potency.bundle.known import Known
from potency.data.manifest import Manifest
from potency.inference.engine import accelerate

LEARNED, OWN, FOREIGN, FOLDS = 1000, 400, 60, 5
Images = list[NDArray[Any]]
Seen = tuple[NDArray[Any], NDArray[Any]]  # embeddings, outputs
Score = Callable[[Seen], NDArray[np.float64]]


def rows_of(name: str, runs: Path) -> pd.DataFrame:
    """The rows of a set with the folds they were dealt to."""
    where = Path(os.environ["POTENCY_DATA"]) / "classify" / SETS[name]["folder"]
    told = pd.read_parquet(runs / name / "predictions.parquet")
    rows = Manifest.read(where, classes=SETS[name].get("classes", ()))
    rows = rows.add({"place": np.arange(len(rows))})
    both = rows.table.merge(told[["id", "fold"]], on="id")
    both.attrs["rows"] = rows
    return both


def images_of(table: pd.DataFrame, rows: Manifest) -> Images:
    return [rows.open(rows.table.iloc[int(place)]).crop() for place in table["place"]]


def some(table: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    return table.sample(min(count, len(table)), random_state=seed)


def spoiled(images: Images, rng: np.random.Generator) -> dict[str, Images]:
    """Images that no microscope would give, as large and as bright as these."""
    def shuffled(image: NDArray[Any]) -> NDArray[Any]:
        flat = image.reshape(len(image), -1)
        return flat[:, rng.permutation(flat.shape[1])].reshape(image.shape)

    def noise(image: NDArray[Any]) -> NDArray[Any]:
        return rng.uniform(image.min(), image.max(), image.shape).astype(image.dtype)

    blurred = [gaussian_filter(image.astype(np.float32), (0, 3, 3)).astype(image.dtype) for image in images]
    inverted = [(image.max() - (image - image.min())).astype(image.dtype) for image in images]
    return {"noise": list(map(noise, images)), "inverted": inverted, "blurred": blurred,
            "shuffled": list(map(shuffled, images))}  # fmt: skip


def seen(bundle: Bundle, images: Images) -> Seen:
    member, found = bundle.members[0], []
    for start in range(0, len(images), 64):
        found += member.outputs([{"image": image} for image in images[start : start + 64]])
    return np.stack([one["embedding"] for one in found]), np.stack([one["output"] for one in found])


def scores(learned: Seen, strata: list[str], own: Seen, groups: NDArray[Any]) -> dict[str, Score]:
    known = Known.of(learned[0], strata)
    unit = learned[0] / np.linalg.norm(learned[0], axis=1, keepdims=True)

    def nearest(told: Seen) -> NDArray[np.float64]:
        own = told[0] / np.linalg.norm(told[0], axis=1, keepdims=True)
        return np.asarray(-np.sort(own @ unit.T, axis=1)[:, -5], float)

    found: dict[str, Score] = {
        "distance": lambda told: known.distance(told[0]),
        "energy": lambda told: -logsumexp(told[1].astype(float), axis=1),
        "nearest": nearest,
    }
    tables = [fit_rarity(found[name](own), groups) for name in ("distance", "energy")]
    found["both"] = lambda told: np.mean([rarity(found[name](told), table) for name, table in
                                          zip(("distance", "energy"), tables, strict=True)], axis=0)  # fmt: skip
    return found


def judged(name: str, tables: Mapping[str, pd.DataFrame], runs: Path, folds: int) -> Iterator[dict[str, Any]]:
    table, rows = tables[name], tables[name].attrs["rows"]
    rng = np.random.default_rng(0)
    values: dict[str, list[dict[str, NDArray[Any]]]] = {}
    groups: list[NDArray[Any]] = []
    for fold in range(folds):
        bundle = accelerate(Bundle.load(runs / name / "folds" / f"network-{fold}" / "bundle"))
        learned = some(table[table["fold"] != fold], LEARNED, fold)
        own = some(table[table["fold"] == fold], OWN, fold)
        pixels = images_of(own, rows)
        foreign = {other: images_of(some(there, FOREIGN, fold), there.attrs["rows"])
                   for other, there in tables.items() if other != name}  # fmt: skip
        foreign |= spoiled(pixels[:FOREIGN], rng)
        groups.append(own["group"].astype(str).to_numpy())
        told = {"own": seen(bundle, pixels), **{what: seen(bundle, these) for what, these in foreign.items()}}
        before = seen(bundle, images_of(learned, rows))
        ways = scores(before, list(learned["truth"].astype(str)), told["own"], groups[-1])
        for way, score in ways.items():
            values.setdefault(way, []).append({what: score(these) for what, these in told.items()})
    for way, found in values.items():
        yield {"name": name, "source": "potency" if way == "distance" else way,
               "role": "target" if way == "distance" else "other", "score": way,
               "size": f"{sum(map(len, groups))} images, {len(set(np.concatenate(groups)))} groups, {folds} folds",
               **summary(found, groups)}  # fmt: skip


def summary(found: list[dict[str, NDArray[Any]]], groups: list[NDArray[Any]]) -> dict[str, float]:
    """Own images placed on the scale of the other folds; foreign ones on that of all folds, with the limit so found."""
    others = [[j for j in range(len(found)) if j != k] or [k] for k in range(len(found))]
    placed = [rarity(found[k]["own"], fit_rarity(*_joined([one["own"] for one in found], groups, others[k])))
              for k in range(len(found))]  # fmt: skip
    limits = [limit_of(*_joined(placed, groups, others[k])) for k in range(len(found))]
    own = np.concatenate([rare > limit for rare, limit in zip(placed, limits, strict=True)])
    group = pd.Series(own).groupby(np.concatenate(groups))
    told: dict[str, float] = {"own_flagged": float(group.mean().mean()), "worst_group": float(group.mean().max())}
    scale = fit_rarity(*_joined([one["own"] for one in found], groups))
    limit = limit_of(*_joined(placed, groups))
    areas, flags = [], []
    for what in (what for what in found[0] if what != "own"):
        areas.append(float(np.mean([_area(one["own"], one[what]) for one in found])))
        flags.append(float(np.mean([np.mean(rarity(one[what], scale) > limit) for one in found])))
        told |= {f"auc.{what}": areas[-1], f"flagged.{what}": flags[-1]}
    return {"auc": float(np.mean(areas)), "flagged": float(np.mean(flags)), **told}


def _joined(values: list[NDArray[Any]], groups: list[NDArray[Any]], of: list[int] | None = None) -> Seen:
    chosen = range(len(values)) if of is None else of
    return np.concatenate([values[k] for k in chosen]), np.concatenate([groups[k] for k in chosen])


def _area(own: NDArray[Any], foreign: NDArray[Any]) -> float:
    return float(roc_auc_score(np.r_[np.zeros(len(own)), np.ones(len(foreign))], np.r_[own, foreign]))


def costs(runs: Path, name: str, quick: bool) -> dict[str, Any]:
    """What it costs: processor time with and without it, in turn, on the bundle's own engine, images in memory."""
    bundle = accelerate(Bundle.load(runs / name / "folds" / "network-0" / "bundle")).but(trust={})
    plan = bundle.card.plan
    rng = np.random.default_rng(0)
    samples = [{"image": rng.integers(0, 255, (len(plan.channels), *plan.tile)).astype(np.uint8)} for _ in range(128)]
    known = Known.of(seen(bundle, [sample["image"] for sample in samples])[0])
    ways = {"without": bundle.members, "with": tuple(member.knowing(known) for member in bundle.members)}
    took: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(5 if quick else 15):
        for way, members in ways.items():
            made = Bundle(bundle.card, members)
            started = time.process_time()  # of this process: others may be at work on the machine
            made(samples)
            took[way] += [time.process_time() - started] if turn else []  # the first warms up
    share = float(np.median(took["with"]) / np.median(took["without"]) - 1)
    return {"name": f"cost, {name}", "source": "potency", "role": "target", "size": "128 images", "slower_by": share,
            "images_a_second": len(samples) / float(np.median(took["with"]))}  # fmt: skip


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--runs", type=Path, default=Path("out/real"), help="where real_sets.py trained")
    asked.add_argument("--json", action="store_true")
    asked.add_argument("--quick", action="store_true", help="the first fold of each set")
    given = asked.parse_args()
    there = [name for name in SETS if (given.runs / name / "predictions.parquet").is_file()]
    rows: list[dict[str, Any]] = []
    if os.environ.get("POTENCY_DATA") and there:
        tables = {name: rows_of(name, given.runs) for name in there}
        for name in there:
            rows += judged(name, tables, given.runs, 1 if given.quick else FOLDS)
        rows += [costs(given.runs, name, given.quick) for name in there]
    if given.json:
        print(json.dumps(rows))
        return
    for row in rows:
        told = (f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items())
        print(", ".join(told))


if __name__ == "__main__":
    main()
