"""Do prediction sets keep their promise on groups nobody has seen? Real sets by forest, and drawn worlds of few groups.

`python benchmarks/conformal.py [--into out/conformal] [--json] [--quick]`. Real sets need POTENCY_DATA: a forest by the
protocol of `potency train`, five folds by group, the sets of each fold fitted on the others. Drawn worlds: classes
whose scores also move with the group; sets fitted on that many groups, judged on a hundred new ones; beside the sets of
the package those of split conformal prediction that takes images as independent ("images").
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from real_sets import SETS

from potency.answers.conformal import JOIN, MISS, fit_sets, plausible
from potency.data.facts import Facts
from potency.data.manifest import Manifest
from potency.data.plan import Plan
from potency.learning import protocol
from potency.tasks import TASKS

WORLDS, CLASSES, EACH, NEW = 200, 4, 30, 100
GROUPS = (5, 10, 20, 60)
FEWEST = 10  # images of a group that is judged alone


def drawn(rng: np.random.Generator, groups: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Truths, probabilities and groups of a world whose groups shift the scores of all their images."""
    truth, group = rng.integers(0, CLASSES, groups * EACH), np.repeat(np.arange(groups), EACH)
    scores = rng.normal(size=(groups * EACH, CLASSES)) + rng.normal(0, 0.8, (groups, CLASSES))[group]
    scores[np.arange(len(truth)), truth] += 1.5 + 0.7 * rng.normal(size=groups)[group]
    power = np.exp(scores)
    return truth, power / power.sum(1, keepdims=True), group


def worlds(count: int) -> Iterator[dict[str, Any]]:
    for groups in GROUPS:
        seen: dict[str, list[tuple[float, float, float]]] = {"potency": [], "images": []}
        for seed in range(count):
            rng = np.random.default_rng([groups, seed])
            truth, probability, group = drawn(rng, groups)
            new, told, their = drawn(rng, NEW)
            for source, units in (("potency", group), ("images", None)):
                sets = plausible(told, fit_sets(truth, probability, units))
                inside = sets[np.arange(len(new)), new]
                each = np.bincount(their, inside) / np.bincount(their)
                seen[source].append((float(inside.mean()), float(np.quantile(each, 0.05)), float(sets.sum(1).mean())))
        for source, found in seen.items():
            coverage, worst, size = np.mean(found, axis=0)
            yield {"name": f"drawn worlds of {groups} groups", "source": source, "target": 1 - MISS,
                   "role": "target" if source == "potency" else "other", "worlds": count, "groups": groups,
                   "coverage": float(coverage), "worst_group": float(worst), "classes_in_set": float(size)}  # fmt: skip


def real(name: str, into: Path, quick: bool) -> Iterator[dict[str, Any]]:
    where = Path(os.environ["POTENCY_DATA"]) / "classify" / SETS[name]["folder"]
    rows = Manifest.read(where, classes=SETS[name].get("classes", ()))
    if quick:
        rows = rows.where(rows.table.index.isin(rows.table.sample(400, random_state=0).index))
    plan = Plan.of(Facts.of(rows)).but(learner="estimator", network="forest")
    choices = protocol.Choices(baselines=(), resume=(into / name / "run.json").is_file(), title=name)
    table = protocol.run(rows, TASKS["classify"], into=into / name, plan=plan, choices=choices).manifest.table
    table = table[table["prediction.set"].notna()]
    pairs = zip(table["truth"], table["prediction.set"], strict=True)
    inside = np.array([str(truth) in str(named).split(JOIN) for truth, named in pairs])
    groups = table["group"].astype(str)
    count = groups.map(groups.value_counts()).to_numpy()
    each = [float(inside[(groups == g).to_numpy()].mean()) for g in groups[count >= FEWEST].unique()]
    named = table["prediction.set"].str.split(JOIN, regex=False).map(len).to_numpy()
    accuracy = float((table["truth"] == table["prediction"]).mean())
    yield {"name": name, "source": "potency", "role": "target", "size": f"{len(table)} images", "target": 1 - MISS,
           "coverage": float(inside.mean()), "worst_group": min(each, default=float("nan")), "groups": groups.nunique(),
           "classes_in_set": float(named.mean()), "accuracy": accuracy}  # fmt: skip


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--into", type=Path, default=Path("out/conformal"))
    asked.add_argument("--json", action="store_true")
    asked.add_argument("--quick", action="store_true")
    given = asked.parse_args()
    rows = list(worlds(10 if given.quick else WORLDS))
    if os.environ.get("POTENCY_DATA"):
        for name in ("jurkat",) if given.quick else SETS:
            rows += list(real(name, given.into, given.quick))
    if given.json:
        print(json.dumps(rows))
        return
    for row in rows:
        told = (f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items())
        print(", ".join(told))


if __name__ == "__main__":
    main()
