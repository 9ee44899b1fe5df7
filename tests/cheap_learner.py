"""A learner of seconds in place of networks: what recipes are tested with."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from potency.data.manifest import Manifest
from potency.estimators import ESTIMATORS
from potency.measurement import features
from potency.systems.recipe import Asked, Learned


class Learner:
    """Stands for the protocol: a linear model on size and intensity in place of each network, under both splits."""

    def __init__(self, families: tuple[str, ...] = ("trivial",)) -> None:
        self.families = families
        self.asked: list[tuple[str, Asked]] = []
        self.seen: list[tuple[str, Manifest]] = []

    def __call__(self, manifest: Manifest, asked: Asked, into: Path, say: object) -> Learned:
        self.asked.append((into.parent.name, asked))
        self.seen.append((into.parent.name, manifest))
        table = features([manifest.open(row).crop(manifest.window(row)) for row in manifest.records()], self.families)
        rows = manifest.table[["id"]]
        for column, kind in (("prediction", "stratified"), ("prediction@random", "random")):
            if kind == "random" and not asked.random:
                continue
            folds = range(1 if asked.holdout or "split" in manifest.table else asked.folds)
            told = [self.answers(manifest, table, column, kind, (asked.folds, k)) for k in folds]
            rows = rows.merge(pd.concat(told), on="id", how="left")
        constant = manifest.classes[0] if manifest.classes else manifest.table["truth"].mean()
        for name in asked.baselines:
            rows[f"prediction@{name}"] = rows["prediction"].where(rows["prediction"].isna(), constant)
            for label in manifest.classes:
                rows[f"prediction@{name}.probability.{label}"] = float(label == constant)
        plan = {
            "tile": [64, 64],
            "rate": 0.003,
            "batch": 64,
            "classes": list(manifest.classes),
            "seed": asked.changes.get("seed", 0),
        }
        return Learned(rows, {"split_kind": "stratified", "split": "a split", "plan": plan, "fingerprint": "f" * 64})

    def answers(
        self, manifest: Manifest, table: pd.DataFrame, column: str, kind: str, fold: tuple[int, int]
    ) -> pd.DataFrame:
        own = kind != "random" and "split" in manifest.table  # a table that came divided is obeyed
        rows = manifest.table if own else manifest.split(folds=fold[0], kind=kind).fold(fold[1]).table
        known = (rows["split"] != "test").to_numpy()
        if not manifest.classes:
            fitted = ESTIMATORS["logistic"].fit(table[known], rows["truth"][known], estimates="value")
            said = fitted.predict(table[~known])["value"]
            return pd.DataFrame({"id": rows["id"][~known].to_numpy(), column: said})
        fitted = ESTIMATORS["logistic"].fit(table[known], rows["truth"][known], classes=manifest.classes)
        scores = pd.DataFrame(fitted.predict(table[~known])["probability"], columns=list(manifest.classes))
        answers = pd.DataFrame({"id": rows["id"][~known].to_numpy(), column: scores.idxmax(axis=1)})
        return answers.join(scores.add_prefix(f"{column}.probability."))
