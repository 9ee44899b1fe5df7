"""What `potency early` claims: no first time where nothing can be told, and the true one where it can.

`python benchmarks/early.py [--json] [--quick]`. Simulated tables of wells in groups, 8 times, answers that know nothing
until an onset; a group has a habit of its own. Per design and onset: how often a first time is claimed (`claimed`),
how often before the onset (`too_early`), and how long after it at the median (`late`, in steps of time). The seeds were
used for nothing else.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from side_by_side import tell

from potency.timing import early

SEEDS, TIMES, FIRST_SEED = 200, 8, 100_000
DESIGNS = ((12, 4), (8, 3), (6, 6))  # groups, wells of each
WORLDS = (("nothing", 99, 0.0), ("weak", 4, 1.5), ("strong", 4, 3.0))  # onset, strength


def table(seed: int, groups: int, per: int, onset: int, strength: float) -> pd.DataFrame:
    """A row for each well at each time, with the probability of one of two outcomes."""
    rng = np.random.default_rng(seed)
    shape = (groups, per, TIMES)
    truth = rng.integers(0, 2, shape[:2])
    truth[:, :2] = (0, 1)  # both outcomes in every group
    score = 0.4 * rng.standard_normal((groups, 1, 1)) + rng.standard_normal(shape)
    score += strength * (truth[..., None] - 0.5) * (np.arange(TIMES) >= onset)
    group, well, time = (axis.ravel() for axis in np.indices(shape))
    p = 1 / (1 + np.exp(-score.ravel()))
    names = np.array(["no", "yes"])
    return pd.DataFrame({
        "group": [f"g{g}" for g in group], "well": [f"w{w}" for w in well], "time": time.astype(float),
        "truth": names[truth[group, well]], "prediction": names[(p > 0.5).astype(int)],
        "prediction.probability.no": 1 - p, "prediction.probability.yes": p,
    })  # fmt: skip


def rows(seeds: int) -> Iterator[dict[str, Any]]:
    for groups, per in DESIGNS:
        for name, onset, strength in WORLDS:
            found = [early(table(FIRST_SEED + seed, groups, per, onset, strength)).first for seed in range(seeds)]
            told = np.array([time for time in found if time is not None])
            late = {"late": float(np.median(told - onset))} if onset < TIMES and len(told) else {}
            yield {
                "name": f"{name}, {groups} groups of {per}", "source": "potency", "role": "target", "seeds": seeds,
                "claimed": len(told) / seeds, "too_early": float((told < onset).sum() / seeds), **late,
            }  # fmt: skip


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--json", action="store_true")
    asked.add_argument("--quick", action="store_true")
    given = asked.parse_args()
    tell(list(rows(2 if given.quick else SEEDS)), given.json)


if __name__ == "__main__":
    main()
