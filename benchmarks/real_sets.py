"""The main job on the real sets: network, forest and trivial baseline, by group and at random, with paired intervals.

`python benchmarks/real_sets.py --into out/real [--sets jurkat,tcell] [--quick] [--json]` needs POTENCY_DATA. It runs
the protocol of `potency train` on each set, goes on where an earlier call stopped, and leaves the reports in `--into`.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from potency.data.manifest import Manifest
from potency.data.plan import Facts, Plan
from potency.inference.pool import Pool
from potency.learning import protocol
from potency.tasks import task_for

SETS: Mapping[str, Mapping[str, Any]] = {
    "jurkat": {"folder": "jurkat_ifc_cellcycle", "classes": ("G1", "S_phase", "G2", "Prophase")},
    "tcell": {"folder": "tcell_autofluor"},
    "293a": {"folder": "bf_293a_ht1080"},
    "mitocheck": {"folder": "mitocheck_nuclei16"},
}
FIGURES = ("accuracy", "balanced_accuracy", "macro_f1", "auc")


def run(name: str, into: Path, workers: int, steps: int) -> protocol.Outcome:
    where = Path(os.environ["POTENCY_DATA"]) / "classify" / SETS[name]["folder"]
    rows = Manifest.read(where, classes=SETS[name].get("classes", ()))
    plan = Plan.of(Facts.of(rows))
    plan = plan.but(steps=steps) if steps else plan
    command = f"python benchmarks/real_sets.py --sets {name}"
    choices = protocol.Choices(random_split=True, resume=(into / "run.json").is_file(), title=name, command=command)
    with Pool(workers) as on:
        return protocol.run(rows, task_for(rows.kinds["truth"]), into=into, plan=plan, choices=choices, on=on,
                            progress=_say)  # fmt: skip


def _say(done: float, total: float, what: str) -> None:
    if done == total:
        print(f"{what}: {done:g}", file=sys.stderr, flush=True)


def rows_of(name: str, outcome: protocol.Outcome, seconds: float | None) -> list[dict[str, Any]]:
    """One row a source (network, baselines, at random), one a paired difference, one the time of an unbroken run."""
    report = outcome.report
    shared = {"size": f"{len(report.rows)} images, {report.groups} groups", "role": "target"}
    made = []
    for column, figures in report.numbers.items():
        cells = {f: str(figures[f]) for f in FIGURES if f in figures}
        made.append({"name": f"{name} by group", "source": _source(column), **shared, **cells})
    for column, figures in report.facts["random_split"].items():
        cells = {
            f: f"{figures[f]['value']:.3f} [{figures[f]['low']:.3f}, {figures[f]['high']:.3f}]"
            for f in FIGURES
            if f in figures
        }
        made.append({"name": f"{name} at random", "source": _source(column), **shared, **cells})
    for contest in report.contests:
        cells = {f: str(contest.differences[f]) for f in FIGURES if f in contest.differences}
        versus = f"potency minus {contest.second.partition('@')[2]}"
        made.append({"name": f"{name} difference", "source": versus, **shared, **cells, "verdict": contest.verdict})
    if seconds is not None:
        made.append({"name": f"{name} time", "source": "potency", **shared, "seconds": round(seconds, 1)})
    return made


def _source(column: str) -> str:
    return column.partition("@")[2] or "potency"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, default=Path("out/real"))
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--workers", type=int, default=0, help="processes; 0: one a core")
    parser.add_argument("--quick", action="store_true", help="20 steps a fold: does it run, not how good it is")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if "POTENCY_DATA" not in os.environ:
        print(json.dumps([]) if options.json else "POTENCY_DATA names no folder of real images: nothing to run")
        return
    made: list[dict[str, Any]] = []
    for name in options.sets.split(","):
        into, start = options.into / (f"{name}-quick" if options.quick else name), time.monotonic()
        fresh = not (into / "run.json").is_file()
        outcome = run(name, into, options.workers, 20 if options.quick else 0)
        made += rows_of(name, outcome, time.monotonic() - start if fresh else None)
    print(json.dumps(made) if options.json else "\n".join(map(str, made)))


if __name__ == "__main__":
    main()
