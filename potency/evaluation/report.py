"""Writes a report: one self-contained page, the same figures as JSON and CSV, and the rows they came from."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from potency.data.whole import replaced
from potency.errors import PotencyError
from potency.evaluation import opening, tables, trust, wording
from potency.evaluation.page import command_of, page, plain, title_of

if TYPE_CHECKING:
    from potency.evaluation.results import Interval, Report


def as_json(report: Report) -> dict[str, Any]:
    """The figures as plain data: what stands in `report.json`; a figure that is not finite is null."""
    first, facts = wording.first_column(report), report.facts
    rivals = [c for c in report.numbers if c != first and not wording.is_random(c)]
    outside = tables.random_figures(report)
    return {
        "task": report.task,
        "rows": len(report.rows),
        "groups": report.groups,
        "split": str(facts.get("split_kind") or "unknown"),
        "verdict": opening.verdict(report),
        "headline": wording.headline(report),
        "banner": trust.banners(report),
        "notes": list(report.notes),
        "simulated": bool(facts.get("simulated", False)),
        "metrics": _cells(report.numbers.get(first, {})),
        "baselines": {_short(column): _cells(report.numbers[column]) for column in rivals},
        "random_split": {_short(column): _cells(metrics) for column, metrics in outside.items()},
        "contests": [
            {
                "first": contest.first,
                "second": contest.second,
                "samples": contest.samples,
                "differences": _cells(contest.differences),
                "verdict": contest.verdict,
                "mcnemar_p": plain(contest.mcnemar_p),
                "delong_p": plain(contest.delong_p),
            }
            for contest in report.contests
        ],
        "permutation": {column: plain(p) for column, p in report.permutation.items()},
        "audit": plain(facts.get("audit", {})),
        "explanation": plain(facts.get("explanation", {})),
        "labels": list(report.labels),
        "left_out": plain(report.left_out),
        "data_fingerprint": str(facts.get("fingerprint", "")),
        "command": command_of(facts),
        "versions": plain(facts.get("versions", {})),
        "draws": report.draws,
        "seed": report.seed,
    }


def as_markdown(report: Report) -> str:
    """The report in words and tables, for a README, a pull request or an e-mail."""
    facts, command = report.facts, command_of(report.facts)
    parts = [f"# {title_of(report)}", *(f"> **{line}**" for line in trust.banners(report))]
    parts += [f"**{opening.verdict(report)}**", wording.headline(report)]
    parts += ["\n".join(f"- {question}: {answer}" for question, answer in opening.lines(report))]
    parts += ["\n".join(f"- {note}" for note in trust.notes(report))]
    for heading, table in (
        ("Numbers", tables.metrics(report)),
        ("Under a random split", tables.random_split(report)),
        ("Classes", tables.classes(report)),
        ("Groups", tables.groups(report)),
    ):
        if table is not None:
            parts += [f"## {heading}", table.markdown(), table.note]
    asked = trust.doubts(report)
    if asked:
        lines = (f"- {trust.MARKS[doubt.mark]} **{doubt.question}** {doubt.answer}" for doubt in asked)
        parts += ["## What a sceptic would ask", "\n".join(lines)]
    parts += ["## How it was made", str(facts.get("split", ""))]
    parts = [part.replace("<", "\\<") for part in parts]  # a class may be called <script>
    parts += [
        f"Data fingerprint: `{facts['fingerprint']}`" if facts.get("fingerprint") else "",
        f"```\n{command}\n```" if command else "",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def write(report: Report, folder: Path) -> Path:
    """Write `report.html`, `report.json`, `numbers.csv` and `rows.parquet` into `folder`; returns the page's path.

    Every file appears whole or not at all, the page last. Raises PotencyError when the folder cannot be written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        figures = json.dumps(as_json(report), ensure_ascii=False, indent=1, allow_nan=False)
        replaced(folder / "report.json", figures + "\n")
        replaced(folder / "numbers.csv", numbers_csv(report))
        rows = io.BytesIO()
        report.rows.to_parquet(rows, index=False)
        replaced(folder / "rows.parquet", rows.getvalue())
        replaced(folder / "report.html", page(report))
    except OSError as error:
        raise PotencyError(
            f"the report cannot be written: {error.strerror or error}",
            str(folder),
            "free some space, or choose a folder that can be written to",
        ) from error
    return folder / "report.html"


def numbers_csv(report: Report) -> str:
    """Every figure as a tidy table; a paired difference is named 'first - second'."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["prediction", "metric", "value", "low", "high", "groups", "samples"])
    blocks: list[tuple[str, Mapping[str, Interval], int]] = [
        (column, metrics, wording.compared(report, column)) for column, metrics in report.numbers.items()]
    blocks += [(f"{c.first} - {c.second}", c.differences, c.samples) for c in report.contests]
    for name, metrics, samples in blocks:
        for metric, interval in metrics.items():
            cells = ["" if v is None or not math.isfinite(v) else repr(float(v)) for v in
                     (interval.value, interval.low, interval.high)]
            writer.writerow([name, metric, *cells, report.groups, samples])
    return text.getvalue()


def _cells(metrics: Mapping[str, Interval]) -> dict[str, dict[str, float | None]]:
    return {
        metric: {"value": plain(interval.value), "low": plain(interval.low), "high": plain(interval.high)}
        for metric, interval in metrics.items()
    }


def _short(column: str) -> str:
    return column.partition("@")[2] or column
