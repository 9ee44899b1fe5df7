"""What decisions of the plan gain, paired, on rows inside the learning rows of one fold: no test row is ever looked at.

`python benchmarks/decisions.py --into out/decisions [--sets jurkat] [--arms mixup,cutmix] [--quick] [--json]` needs
POTENCY_DATA. The learning rows of fold 0 are dealt again into three folds by group. Every arm is the plan computed from
the data with a few decisions changed, learned without validation rows (the last model is kept), on the same folds,
crops and seed. Without arms it compares numbers of test views only.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from real_sets import SETS

from potency.bundle import Bundle, NetworkMember
from potency.data.manifest import Manifest
from potency.data.plan import Facts, Plan
from potency.evaluation.evaluate import evaluate
from potency.inference.pool import Pool
from potency.inference.predict import predict
from potency.learning.folds import Done, Job, finished, work

FOLDS = 3
FIGURES = ("accuracy", "balanced_accuracy", "macro_f1", "auc", "log_loss")
DEFAULT_LIGHT = {"flip": 1.0, "turn": 1.0, "gain": 0.05, "noise": 0.02}
# Decisions that differ from the computed plan; "steps" is a factor.
ARMS: Mapping[str, Mapping[str, Any]] = {
    "half as long": {"steps": 0.5},
    "twice as long": {"steps": 2.0},
    "bfloat16": {"precision": "bfloat16"},
    "mixup": {"mix": {"mixup": 0.2}},
    "cutmix": {"mix": {"cutmix": 1.0}},
    "any angle": {"augment": {**DEFAULT_LIGHT, "affine": 0.5}},
    "small batches": {"batch": 32, "steps": 2.0},
    "plain": {"smoothing": 0.0, "dropout": 0.0},
    "another seed": {"seed": 1},
}
VIEWS = (1, 2, 4)  # beside the 8 of the plan


def learning_rows(name: str) -> Manifest:
    """The learning rows of fold 0, dealt again by group."""
    where = Path(os.environ["POTENCY_DATA"]) / "classify" / SETS[name]["folder"]
    rows = Manifest.read(where, classes=SETS[name].get("classes", ())).split(folds=5)
    inner = rows.where(rows.table["fold"].ne(0))
    return replace(inner, table=inner.table.drop(columns="fold").reset_index(drop=True)).split(folds=FOLDS)


def run(name: str, arms: Mapping[str, Mapping[str, Any]], into: Path, quick: bool) -> list[dict[str, Any]]:
    rows = learning_rows(name)
    learned = len(rows) * (FOLDS - 1) // FOLDS
    plan = Plan.of(Facts.of(rows))
    plan = plan.but(steps=5 if quick else round(plan.steps * learned / len(rows)), validations=1)
    plans = {"prediction": plan}
    for arm, changes in arms.items():
        longer = {"steps": max(1, round(plan.steps * changes["steps"]))} if "steps" in changes else {}
        plans[f"prediction@{arm}"] = plan.but(**{**changes, **longer})
    jobs = [
        Job(column, k, rows.fold(k, 0.0), one, into / name / f"{column.replace('prediction', 'plan', 1)}-{k}",
            into / name / "cache")
        for column, one in plans.items()
        for k in range(FOLDS)
    ]  # fmt: skip
    with Pool() as on:
        done = finished(on(work, jobs))
    columns = list(plans)
    told = rows
    for column in columns:
        told = told.add(pd.concat([d.answers for d in done if d.column == column]), {column: "category"})
    for views in VIEWS:
        columns.append(f"prediction@{views} views")
        answers = [_seen(d, rows, views, columns[-1]) for d in done if d.column == "prediction"]
        told = told.add(pd.concat(answers), {columns[-1]: "category"})
    report = evaluate(told, predictions=columns, facts={"title": f"{name}: decisions, inside the learning rows"})
    report.write(into / name / "report")
    shared = {"role": "other", "size": f"{len(told)} images, {report.groups} groups, {plan.steps} steps"}
    made: list[dict[str, Any]] = []
    for column in columns:
        cells = {f: str(report.numbers[column][f]) for f in FIGURES}
        made.append({"name": f"{name} inside", "source": column.partition("@")[2] or "potency", **shared, **cells})
    for contest in report.contests:
        cells = {f: str(contest.differences[f]) for f in FIGURES if f in contest.differences}
        versus = f"potency minus {contest.second.partition('@')[2]}"
        made.append({"name": f"{name} difference", "source": versus, **shared, **cells, "verdict": contest.verdict})
    return made


def _seen(done: Done, rows: Manifest, views: int, column: str) -> pd.DataFrame:
    """The same model with fewer test views."""
    bundle = Bundle.load(done.bundle).but(trust={})
    members = []
    for member in bundle.members:
        assert isinstance(member, NetworkMember)
        members.append(NetworkMember(member.task, member.plan.but(test_views=views), member.nets))
    bundle = replace(bundle, members=tuple(members), card=replace(bundle.card, plans=tuple(m.plan for m in members)))
    table = predict(rows.fold(done.fold, 0.0).of("test"), bundle, into=None, name=column).table
    return table[["id", *(c for c in table if str(c) == column or str(c).startswith(f"{column}."))]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, default=Path("out/decisions"))
    parser.add_argument("--sets", default="jurkat")
    parser.add_argument("--arms", default="", help=f"all, or some of: {', '.join(ARMS)}")
    parser.add_argument("--quick", action="store_true", help="5 steps a fold: does it run, not what it gains")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if "POTENCY_DATA" not in os.environ:
        print(json.dumps([]) if options.json else "POTENCY_DATA names no folder of real images: nothing to run")
        return
    arms = ARMS if options.arms == "all" else {name: ARMS[name] for name in options.arms.split(",") if name}
    into = options.into / "quick" if options.quick else options.into
    made = [row for name in options.sets.split(",") for row in run(name, arms, into, options.quick)]
    print(json.dumps(made) if options.json else "\n".join(map(str, made)))


if __name__ == "__main__":
    main()
