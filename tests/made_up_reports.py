"""Made-up reports that the tests of the report's page and of its pictures share."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import numpy as np
import pandas as pd

from potency.evaluation.evaluate import evaluate
from potency.evaluation.results import Report

LABELS = ("stem", "neuron", "astrocyte")
HOSTILE = ("<script>alert(1)</script>", "a & 'b' \"c\" $d_e$ | 日本 \x07\nand on and on and on and on")
FACTS: dict[str, Any] = {
    "title": "Fates of a made-up dish",
    "split": "Stratified group 5-fold: no group stands on both sides.",
    "split_kind": "stratified",
    "random_split": {"prediction@forest": {"balanced_accuracy": {"value": 0.93, "low": 0.9, "high": 0.95}}},
    "learning": [
        {"fold": f, "step": s, "train_loss": 1 / s, "validation_loss": 2 / s, "validation_metric": 1 - 1 / s}
        for f in range(3) for s in range(1, 9)
    ],
    "fingerprint": "0123abcd",
    "command": ["potency", "train", "my images", "--into", "out"],
    "versions": {"potency": "0.1", "numpy": "2"},
    "findings": {"faults": [], "warnings": [{"what": "pixel size unknown", "where": "all", "mend": "give it"}, "odd"]},
    "plan": {"network": "tiny", "classes": list(LABELS)},
}  # fmt: skip


def categories(labels: tuple[str, ...] = LABELS, rows: int = 240, groups: int = 12, seed: int = 0) -> pd.DataFrame:
    """Made-up answers of a network, a forest and a trivial baseline, each better than the next."""
    random = np.random.default_rng(seed)
    truth, group = random.integers(0, len(labels), rows), np.arange(rows) % groups
    table: dict[str, Any] = {
        "id": [f"s{i}" for i in range(rows)],
        "group": [f"dish {g}" for g in group],
        "image": [f"{i}.png" for i in range(rows)],
        "truth": [labels[k] for k in truth],
    }
    for column, skill in (("prediction", 2.6), ("prediction@forest", 1.8), ("prediction@trivial", 0.6)):
        score = random.normal(0, 1, (rows, len(labels)))
        score[np.arange(rows), truth] += skill
        probability = np.exp(score) / np.exp(score).sum(axis=1, keepdims=True)
        table[column] = [labels[k] for k in probability.argmax(axis=1)]
        table |= {f"{column}.probability.{label}": probability[:, k] for k, label in enumerate(labels)}
    return pd.DataFrame(table)


def category_report(labels: tuple[str, ...] = LABELS, facts: dict[str, Any] | None = None, **how: int) -> Report:
    columns = ("prediction", "prediction@forest", "prediction@trivial")
    return evaluate(categories(labels, **how), predictions=columns, draws=100, facts=FACTS if facts is None else facts)


def number_report(rows: int = 90) -> Report:
    random = np.random.default_rng(1)
    truth, group = random.gamma(4, 10, rows), np.arange(rows) % 9
    table = {"group": [f"donor {g}" for g in group], "truth": truth, "image": ["no.png"] * rows}
    table |= {"prediction": truth + random.normal(0, 4, rows), "prediction@forest": truth + random.normal(0, 9, rows)}
    facts = {"title": "Hours", "split_kind": "stratified", "plan": {"network": "tiny"}}
    return evaluate(pd.DataFrame(table), predictions=("prediction", "prediction@forest"), draws=100, facts=facts)


class Elements(HTMLParser):
    """Every element of a page with its attributes, and the visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def values(self, name: str) -> list[str]:
        return [value for _, attributes in self.found if (value := attributes.get(name))]
