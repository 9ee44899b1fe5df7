"""Writes a report: one self-contained page, the same figures as JSON and CSV, and the rows they came from."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from potency.errors import PotencyError
from potency.evaluation import tables, trust, wording

if TYPE_CHECKING:
    from potency.evaluation.results import Interval, Report

MARKS = {"good": "✓", "caution": "!", "bad": "✗", "unknown": "?"}
GLOSSARY = (
    ("Group", "What was sampled independently: a clone, donor, plate, well or movie. Images of one group resemble one another, "
     "so a group is tested on only by a model that has seen none of its images."),
    ("[low, high]", "The 95 % interval: whole groups are drawn again at random many times, and 95 % of the figures so found lie "
     "between the two. Under 5 groups no interval is given, because none would be honest."),
    ("Difference", "Both are scored on the same redrawn groups, so what makes a draw hard for one makes it hard for the other. "
     "An interval that includes zero is inconclusive: the data do not say which is better."),
    ("Trivial baseline", "A model that sees only size, mean intensity and variance. What does not beat it has shown nothing "
     "about morphology."),
    ("Forest", "A random forest on measured features (intensity, texture, shape): the classical way, and a strong one."),
    ("Random split", "Images dealt out without regard to groups. Its figures answer an easier question than yours."),
    ("Out of fold", "Every figure here comes from rows that the model which answered them was not trained on."),
)


def as_json(report: Report) -> dict[str, Any]:
    """The figures as plain data: what stands in `report.json`."""
    first, facts = wording.first_column(report), report.facts
    return {
        "task": report.task,
        "rows": len(report.rows),
        "groups": report.groups,
        "split": str(facts.get("split_kind") or facts.get("split") or "unknown"),
        "headline": wording.headline(report),
        "banner": trust.banners(report),
        "simulated": bool(facts.get("simulated", False)),
        "metrics": _cells(report.numbers.get(first, {})),
        "baselines": {_short(column): _cells(metrics) for column, metrics in report.numbers.items()
                      if column != first and not wording.is_random(column)},
        "random_split": {_short(column): _cells(metrics) for column, metrics in tables.random_figures(report).items()},
        "contests": [{"first": c.first, "second": c.second, "differences": _cells(c.differences), "verdict": c.verdict,
                      "mcnemar_p": _plain(c.mcnemar_p), "delong_p": _plain(c.delong_p)} for c in report.contests],
        "permutation": {column: _plain(p) for column, p in report.permutation.items()},
        "labels": list(report.labels),
        "left_out": _plain(report.left_out),
        "data_fingerprint": str(facts.get("fingerprint", "")),
        "command": _command(facts),
        "versions": _plain(facts.get("versions", {})),
        "draws": report.draws,
        "seed": report.seed,
    }


def as_markdown(report: Report) -> str:
    """The report in words and tables, for a README, a pull request or an e-mail."""
    parts = [f"# {_title(report)}", *(f"> **{line}**" for line in trust.banners(report)), wording.headline(report)]
    for heading, table in (("Numbers", tables.metrics(report)), ("Under a random split", tables.random_split(report)),
                           ("Classes", tables.classes(report)), ("Groups", tables.groups(report))):
        if table is not None:
            parts += [f"## {heading}", table.markdown(), table.note]
    asked = trust.doubts(report)
    if asked:
        parts += ["## What a sceptic would ask", "\n".join(f"- {MARKS[d.mark]} **{d.question}** {d.answer}" for d in asked)]
    facts = report.facts
    parts += ["## How it was made", str(facts.get("split", "")),
              f"Data fingerprint: `{facts['fingerprint']}`" if facts.get("fingerprint") else "",
              f"```\n{_command(facts)}\n```" if _command(facts) else ""]
    return "\n\n".join(part for part in parts if part) + "\n"


def write(report: Report, folder: Path) -> Path:
    """Write `report.html`, `report.json`, `numbers.csv` and `rows.parquet` into `folder`; returns the page's path.

    Every file appears whole or not at all, the page last. Raises PotencyError when the folder cannot be written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        figures = json.dumps(as_json(report), ensure_ascii=False, indent=1, allow_nan=False)
        _replace(folder / "report.json", (figures + "\n").encode())
        _replace(folder / "numbers.csv", _numbers(report).encode())
        rows = io.BytesIO()
        report.rows.to_parquet(rows, index=False)
        _replace(folder / "rows.parquet", rows.getvalue())
        _replace(folder / "report.html", page(report).encode())
    except OSError as error:
        raise PotencyError(f"the report cannot be written: {error.strerror or error}", str(folder),
                           "free some space, or choose a folder that can be written to") from error
    return folder / "report.html"


def page(report: Report) -> str:
    """The whole page as text; only the date in it changes from one call to the next."""
    from jinja2 import Environment, StrictUndefined

    from potency.evaluation import gallery
    from potency.evaluation.plots import draw_all

    room = resources.files("potency.evaluation")
    paper = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = paper.from_string((room / "page.html").read_text("utf-8"))
    drawn, facts, first = draw_all(report), report.facts, wording.first_column(report)
    lead = wording.headline_metric(report)
    parts: dict[str, Any] = {
        "style": (room / "page.css").read_text("utf-8"), "title": _title(report), "subtitle": _subtitle(report),
        "banners": trust.banners(report), "headline": wording.headline(report), "aside": _aside(report),
        "doubts": trust.doubts(report), "marks": MARKS, "lead": wording.known(lead)[0] if lead else "",
        "glance": next((plot for plot in drawn if plot.name == "glance"), None),
        "plots": [plot for plot in drawn if plot.name != "glance"],
        "metrics": tables.metrics(report), "random_split": tables.random_split(report), "classes": tables.classes(report),
        "groups": tables.groups(report), "folds": tables.folds(report), "walls": gallery.walls(report),
        "split": str(facts.get("split") or "How the rows were split is not recorded."), "leaks": _pairs(facts.get("leaks")),
        "left_out": _left_out(report), "findings": _findings(facts.get("findings")),
        "fingerprint": str(facts.get("fingerprint", "")), "command": _command(facts), "plan": _pretty(facts.get("plan")),
        "versions": [(str(k), str(v)) for k, v in dict(facts.get("versions") or {}).items()],
        "glossary": [*GLOSSARY, *((wording.known(m)[0], wording.known(m)[1].capitalize() + ".")
                                  for m in tables.whole(report.numbers.get(first, {}), report.labels) if wording.known(m)[1])],
        "version": _version(), "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
    there = (("trust", "Trust", "doubts"), ("numbers", "Numbers", "metrics"), ("pictures", "Pictures", "plots"),
             ("parts", "Classes and groups", "classes"), ("images", "Images", "walls"), ("data", "Data", "split"),
             ("making", "How it was made", "version"))
    return template.render(sections=[(anchor, name) for anchor, name, part in there if parts[part]], **parts)


def _replace(path: Path, content: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_mask())  # mkstemp hides the file from everyone else, a report is to be shared
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _mask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _numbers(report: Report) -> str:
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
    return {m: {"value": _plain(i.value), "low": _plain(i.low), "high": _plain(i.high)} for m, i in metrics.items()}


def _plain(value: Any) -> Any:
    """Anything as JSON knows it; what is not finite is null."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(v) for v in value]
    if hasattr(value, "item") and not isinstance(value, str):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _short(column: str) -> str:
    return column.partition("@")[2] or column


def _title(report: Report) -> str:
    return str(report.facts.get("title") or "Evaluation")


def _subtitle(report: Report) -> str:
    words = [wording.count(len(report.rows), wording.noun(report)), wording.count(report.groups, "group")]
    if report.labels:
        words.append(wording.count(len(report.labels), "class"))
    if report.facts.get("split_kind"):
        words.append(f"{report.facts['split_kind']} split")
    return " · ".join(words)


def _aside(report: Report) -> str:
    if report.groups < 5:
        return "Figures without brackets have no interval."
    return f"In brackets: 95 % intervals from {report.draws:,} draws of whole groups. Signs: + means higher for the first named."


def _command(facts: Mapping[str, Any]) -> str:
    command = facts.get("command") or ""
    if isinstance(command, Sequence) and not isinstance(command, str):
        import shlex

        return shlex.join(map(str, command))
    return str(command)


def _pretty(plan: Any) -> str:
    return json.dumps(_plain(plan), ensure_ascii=False, indent=2) if isinstance(plan, Mapping) and plan else ""


def _pairs(leaks: Any) -> tables.Table | None:
    if not isinstance(leaks, Mapping) or not leaks:
        return None
    return tables.Table(("what stands on both sides of the split", "how often"),
                        tuple((str(k).replace("_", " "), str(v)) for k, v in leaks.items()))


def _left_out(report: Report) -> str:
    told = [f"{wording.source(column, report.facts)}: " + ", ".join(f"{n:,} {reason}" for reason, n in reasons.items() if n)
            for column, reasons in report.left_out.items() if any(reasons.values())]
    return f"Rows left out of the figures: {'; '.join(told)}." if told else ""


def _findings(given: Any) -> list[tuple[str, tables.Table]]:
    found = []
    for kind in ("faults", "warnings") if isinstance(given, Mapping) else ():
        rows = [_finding(each) for each in given.get(kind) or ()]
        if rows:
            found.append((f"{kind.capitalize()} in the data", tables.Table(("what", "where", "how to mend it"), tuple(rows))))
    return found


def _finding(each: Any) -> tuple[str, str, str]:
    if isinstance(each, str):
        return each, "", ""
    get = each.get if isinstance(each, Mapping) else lambda name, default="": getattr(each, name, default)
    return str(get("what", "")), wording.clean(get("where", ""), 160), str(get("mend", ""))


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("potency")
    except PackageNotFoundError:
        return "(not installed)"
