"""How often the audit catches a planted shortcut, by how often artefact and label agree, and how often it cries wolf.

`python benchmarks/audit.py [--seeds 200] [--quick] [--json]` draws one experiment a seed (SIMULATED crops: 12 clones on
plates of their own, 480 cells of two fates in 4 wells a plate) three times: with the artefact of the cell's own class,
with that of the other class, and with none. Every cell is then taken from the first with the probability that is called
agreement, else from the second: just what the simulator does, but each crop is drawn and measured once for all
agreements. No column says which artefact a crop bears. Two designs: both classes in every group, and one class a group
(the rest of its cells left out). A detection is a finding of the grave kind about anything (`mark == "bad"`), so the
rate at .5 and that without an artefact are the family-wise false alarms of the whole audit; the cells of the two
classes do look different in all of them.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binomtest

from potency.confounding.audit import examine
from potency.confounding.exchange import codes_of
from potency.confounding.pictures import numbers_of, suspects_of
from potency.confounding.rules import LEVEL
from potency.confounding.suspects import suspects
from potency.simulate import World, crops
from potency.simulate.world import wells_of

AGREEMENTS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
NONE = -1.0  # no artefact at all
DRAWS = 999
GROUPS, CELLS = 12, 480
OTHERS = 1e-9  # an agreement that is none: every cell bears the artefact of the other class
DESIGNS = ("classes mixed in groups", "one class a group")


def drawn(seed: int, shortcut: float) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """What is measured of all crops of one experiment, with the size of their compressed pixels, and their class."""
    import imagecodecs

    world = World(classes=2, cells=CELLS, groups=GROUPS, seed=seed, shortcut=shortcut)
    wells = wells_of(world)
    who = crops.cast(world, wells, np.random.default_rng([world.seed, 2]))
    pictures = [picture for chunk in crops.render(world, wells, who) for picture in chunk.pictures["brightfield"]]
    numbers = numbers_of([picture[None] for picture in pictures])
    size = [float(len(imagecodecs.deflate_encode(picture.tobytes(), level=1))) for picture in pictures]
    return numbers.assign(file=size), who.fate


def columns(seed: int) -> pd.DataFrame:
    """What the table says of the cells of one experiment."""
    world = World(classes=2, cells=CELLS, groups=GROUPS, seed=seed)
    who = crops.cast(world, wells_of(world), np.random.default_rng([world.seed, 2]))
    return pd.DataFrame({**who.column, "time": who.time, "x": who.x, "y": who.y})


def outcomes(seed: int) -> Iterator[tuple[str, float, bool, bool]]:
    """For one experiment (design, agreement, grave finding, anything technical beyond chance however weak)."""
    (own, fate), (other, _), (bare, _) = drawn(seed, 1.0), drawn(seed, OTHERS), drawn(seed, 0.0)
    table = columns(seed)
    groups = codes_of(table["group"])
    random = np.random.default_rng([seed, 31])
    sides = random.permutation(np.arange(GROUPS) % 2)
    for agreement in (NONE, *AGREEMENTS):
        agree = random.random(len(fate)) < agreement
        numbers = bare if agreement == NONE else own.where(pd.Series(agree), other)
        for design in DESIGNS:
            rows = np.arange(len(fate)) if design == DESIGNS[0] else np.flatnonzero(fate == sides[groups])
            found, _ = suspects(table.iloc[rows])
            found += suspects_of(numbers.iloc[rows].reset_index(drop=True))
            truth, inside = np.eye(2)[fate[rows]], codes_of(groups[rows])
            asked, faults = examine(found, truth, ("stem", "neuron"), inside, draws=DRAWS, seed=seed)
            grave = any(row.mark == "bad" for row in asked) or any(fault.mark == "bad" for fault in faults)
            weak = any(row.kind in ("technical", "background") and (row.family or 1) <= LEVEL for row in asked)
            yield design, agreement, grave, weak


def measure(seeds: int, first: int = 0) -> list[dict[str, Any]]:
    """A row a design and agreement: the share of experiments with a grave finding, with its 95 % interval."""
    caught: dict[tuple[str, float], list[tuple[bool, bool]]] = {}
    started = time.process_time()
    for seed in range(first, first + seeds):
        for design, agreement, grave, weak in outcomes(seed):
            caught.setdefault((design, agreement), []).append((grave, weak))
    spent = time.process_time() - started
    made = []
    for (design, agreement), found in sorted(caught.items(), key=lambda item: (item[0][1] == NONE, item[0])):
        hits = sum(grave for grave, _ in found)
        low, high = binomtest(hits, len(found)).proportion_ci(method="exact")
        planted = {} if agreement == NONE else {"agreement": agreement}
        made.append({
            "name": f"{'shortcut' if planted else 'no artefact'}, {design}", "source": "potency", "role": "target",
            "size": f"{CELLS} crops of 64 x 64, {GROUPS} groups, simulated", **planted,
            "detection_rate": round(hits / len(found), 4), "low": round(float(low), 4), "high": round(float(high), 4),
            "beyond_chance": round(sum(weak for _, weak in found) / len(found), 4),
            "seeds": len(found), "cpu_seconds": round(spent, 1),
        })  # fmt: skip
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=200, help="experiments; 200 leave about 3 points at .95")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--quick", action="store_true", help="2 experiments: does it run, not how well")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    asked = parser.parse_args()
    rows = measure(2 if asked.quick else asked.seeds, asked.first)
    if asked.json:
        print(json.dumps(rows))
    else:
        print("SIMULATED crops; a detection is a grave finding of the audit\n")
        for row in rows:
            print(f"{row['name']:<38}agreement {row.get('agreement', '-')!s:<5}{row['detection_rate']:>6.3f} "
                  f"[{row['low']:.3f}, {row['high']:.3f}]   {row['seeds']} seeds")  # fmt: skip


if __name__ == "__main__":
    main()
