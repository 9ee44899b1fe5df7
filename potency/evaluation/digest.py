"""A report boiled down to what a model's card keeps of it: plain data, a few kilobytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from potency.evaluation import opening, trust, wording
from potency.evaluation.page import plain
from potency.evaluation.report import as_json
from potency.evaluation.scores import Scores, scores

if TYPE_CHECKING:
    from potency.evaluation.results import Report

KEPT = ("split", "groups", "metrics", "rows", "verdict", "headline", "banner", "notes", "permutation", "versions",
        "command", "draws", "labels")  # of report.json  # fmt: skip
FAILURES = 8  # named in a card


def digest(report: Report) -> dict[str, Any]:
    """What the card of a bundle keeps of the report of its training, as JSON knows it.

    `metrics` are those of the first column, `baselines` the headline of the others, `classes` the images and groups of
    each class (`range` where the truth is a number), `failures` the surest mistakes.
    """
    figures, facts = as_json(report), report.facts
    found = scores(report, wording.first_column(report))
    metric = wording.headline_metric(report)
    kept = {name: figures[name] for name in KEPT}
    kept |= {
        "headline_metric": metric,
        "baselines": {name: cells[metric] for name, cells in figures["baselines"].items() if metric in cells},
        "split_words": str(facts.get("split", "")),
        "folds": int(report.rows["fold"].nunique()) if "fold" in report.rows else 0,
        "doubts": [{"question": d.question, "answer": d.answer, "mark": d.mark} for d in trust.doubts(report)],
        "advice": dict(opening.lines(report)).get("What to do next", ""),
        **{name: plain(facts.get(name) or {}) for name in ("calibration", "ood", "audit")},
        "explanation": {"summary": trust.looked(report)},
        "subgroups": plain([asdict(found) for found in facts.get("subgroups") or ()]),
    }
    return {**kept, **(_spread(found) if found is not None else {})} | {"failures": _failures(report, found)}


def _spread(found: Scores) -> dict[str, Any]:
    if not found.labels:
        low, middle, high = np.percentile(found.truth, [0, 50, 100])
        return {"range": {"low": float(low), "median": float(middle), "high": float(high)}}
    inside = {label: found.truth == k for k, label in enumerate(found.labels)}
    return {"classes": {label: {"images": int(mask.sum()), "groups": len(np.unique(found.groups[mask]))}
                        for label, mask in inside.items()}}  # fmt: skip


def _failures(report: Report, found: Scores | None) -> list[Mapping[str, Any]]:
    """The surest mistakes, or the largest errors where the truth is a number."""
    if found is None:
        return []
    if not found.labels:
        worst = np.argsort(-np.abs(found.said - found.truth), kind="stable")[:FAILURES]
        return [{**_whose(report, found, at), "truth": float(found.truth[at]), "said": float(found.said[at])}
                for at in map(int, worst)]  # fmt: skip
    sure = None if found.probability is None else found.probability.max(axis=1)
    order = np.arange(len(found.truth)) if sure is None else np.argsort(-sure, kind="stable")
    worst = order[~found.right[order]][:FAILURES]
    return [
        {**_whose(report, found, at), "truth": found.labels[found.truth[at]], "said": found.labels[found.said[at]],
         **({} if sure is None else {"probability": float(sure[at])})}
        for at in map(int, worst)
    ]  # fmt: skip


def _whose(report: Report, found: Scores, at: int) -> dict[str, str]:
    row = report.rows.iloc[int(found.rows[at])]
    return {"id": str(row.get("id", row.name)), "group": str(found.groups[at])}
