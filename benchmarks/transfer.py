"""What transfer gains: MobileNetV2 from ImageNet weights beside the same network from scratch, paired, on real sets.

`python benchmarks/transfer.py --into out/transfer [--sets tcell,293a] [--quick] [--json]` needs POTENCY_DATA, whose
`weights/mobilenet_v2_tf2` holds the weights. Both arms see the same folds, crops, steps and seed.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from potency.data.manifest import Manifest
from potency.data.plan import Facts, Plan
from potency.evaluation.evaluate import evaluate
from potency.inference.pool import Pool
from potency.learning.folds import Job, finished, work

SETS: Mapping[str, tuple[str, int]] = {"tcell": ("tcell_autofluor", 60), "293a": ("bf_293a_ht1080", 40)}  # and steps
WEIGHTS = Path("weights") / "mobilenet_v2_tf2" / "mobilenet_v2_torchvision.safetensors"
ARMS = ("prediction@transfer", "prediction@scratch")
FIGURES = ("accuracy", "balanced_accuracy", "macro_f1", "auc")


def run(name: str, into: Path, quick: bool) -> list[dict[str, Any]]:
    data, start = Path(os.environ["POTENCY_DATA"]), time.monotonic()
    folder, steps = SETS[name]
    rows = Manifest.read(data / "classify" / folder).split(folds=5)
    # The published input of these weights is x / 127.5 - 1: a scaling of 0..255 and the normalisation "half".
    plan = Plan.of(Facts.of(rows), network="mobilenetv2", rate=1e-3, batch=16, validations=2, average=0.9)
    plan = plan.but(steps=5 if quick else steps, test_views=1)
    arms = dict(zip(ARMS, (plan.but(weights=str(data / WEIGHTS), freeze=0.3), plan), strict=True))
    jobs = [
        Job(column, k, rows.fold(k, 0.1), arm, into / name / f"{column.partition('@')[2]}-{k}", into / name / "cache")
        for column, arm in arms.items()
        for k in sorted(rows.table["fold"].unique())
    ]
    with Pool() as on:
        done = finished(on(work, jobs))
    for column in ARMS:
        answers = pd.concat([d.answers for d in done if d.column == column], ignore_index=True)
        rows = rows.add(answers, {column: "category"})
    report = evaluate(rows, predictions=ARMS, facts={"title": f"{name}: transfer beside scratch"})
    report.write(into / name / "report")
    shared = {"role": "target", "size": f"{len(rows)} images, {report.groups} groups, {plan.steps} steps"}
    made = [
        {"name": f"{name} by group", "source": column.partition("@")[2], **shared,
         **{f: str(report.numbers[column][f]) for f in FIGURES}}
        for column in ARMS
    ]  # fmt: skip
    contest = report.contests[0]
    gain = {f: str(contest.differences[f]) for f in FIGURES if f in contest.differences}
    row = {"name": f"{name} difference", "source": "transfer minus scratch", **shared, **gain}
    made.append({**row, "verdict": contest.verdict})
    made.append({"name": f"{name} time", "source": "potency", **shared, "seconds": round(time.monotonic() - start, 1)})
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, default=Path("out/transfer"))
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--quick", action="store_true", help="5 steps a fold: does it run, not what it gains")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if "POTENCY_DATA" not in os.environ:
        print(json.dumps([]) if options.json else "POTENCY_DATA names no folder of real images: nothing to run")
        return
    into = options.into / "quick" if options.quick else options.into
    made = [row for name in options.sets.split(",") for row in run(name, into, options.quick)]
    print(json.dumps(made) if options.json else "\n".join(map(str, made)))


if __name__ == "__main__":
    main()
