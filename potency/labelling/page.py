"""The pages of few labels: a curve over fractions, a rehearsal beside random choice, the images to label next."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from potency.data.whole import replaced
from potency.evaluation.drawing import BAD, INK, MAIN, MUTED, OTHER, Plot, ruled, sheet
from potency.evaluation.gallery import thumbnail
from potency.evaluation.paper import printed
from potency.evaluation.results import Interval
from potency.evaluation.tables import Grid
from potency.labelling.choose import HOWS, find_how
from potency.labelling.rehearse import RANDOM

if TYPE_CHECKING:
    from potency.data.manifest import Manifest
    from potency.labelling.curve import Study
    from potency.labelling.rehearse import Rehearsal

SHOWN = 100  # images on a page
LINES = ((MAIN, "-"), (OTHER, "-"), (INK, "-"), (BAD, "-"), (MAIN, "--"), (OTHER, "--"), (INK, "--"), (BAD, "--"))


TITLE = "How many labels are needed"


def write_study(found: Study, into: Path, simulated: bool = False, title: str = TITLE) -> Path:
    """Write `labels.csv` and `labels.html`; the page's path."""
    table = found.table
    name = found.headline.replace("_", " ")
    plot = curves(table, "method", "labels", name, "Few labels", reference="scratch")
    best = table[table["method"].ne("scratch")]
    better = [row for row in best.to_dict("records") if row["verdict"] == "better"]
    said = [f"{row['method']} with {row['labels']:.0f} labels: {_of(row)}" for row in better]
    headline = (f"Better than its rival by more than its interval: {'; '.join(said)}." if said
                else "No start is better than its rival by more than its interval leaves open.")  # fmt: skip
    rows = [(row["method"], f"{100 * row['fraction']:g} %", f"{row['labels']:.0f}", f"{row['groups']:.0f}", _of(row),
             f"{row['spread']:.3f}", _of(row, "gain"), row["verdict"] if isinstance(row["verdict"], str) else "")
            for row in table.to_dict("records")]  # fmt: skip
    head = ["method", "of the labels", "labels", "groups", name, "spread over draws", "minus scratch", "verdict"]
    if not table["method"].eq("scratch").any():
        head[6] = "minus a probe of random weights"
    subtitle = f"{found.tested} test images of {found.groups} groups; 95 % intervals over groups"
    shown = Grid("All figures", tuple(head), tuple(rows))
    return _write(into, "labels", table, title=title, subtitle=subtitle, simulated=simulated, verdict=headline,
                  asides=found.notes, plots=[plot], tables=[shown])  # fmt: skip


def write_rehearsal(found: Rehearsal, into: Path, simulated: bool = False) -> Path:
    """Write `rehearsal.csv` and `rehearsal.html`; the page's path."""
    plot = curves(found.table, "how", "labels", "balanced accuracy", "Choosing what to label", RANDOM, found.target)
    won = [how for how, saved in found.saved.items() if saved.low is not None and saved.low > 0]
    goal = f"reached {found.target:.3f} with fewer labels than random choice"
    headline = f"{', '.join(won)} {goal}." if won else f"No way {goal}, as far as this can tell."
    saved = {how: labels(each) for how, each in found.saved.items()}
    rows = [(how, find_how(how).title, labels(each), saved.get(how, "")) for how, each in found.needed.items()]
    asides = [f"All {found.pool} labels reach {found.ceiling}. A count of labels that was never reached is told as "
              "'more'; the interval resamples test groups and seeds."]  # fmt: skip
    head = ("way", "what it is", "labels", "saved against random")
    table = Grid(f"Labels until {found.target:.3f}", head, tuple(rows))
    subtitle = f"{found.pool} images to choose from, {found.tested} test images of {found.groups} groups"
    return _write(into, "rehearsal", found.table, title="Active learning, rehearsed", subtitle=subtitle,
                  simulated=simulated, verdict=headline, asides=asides, plots=[plot], tables=[table])  # fmt: skip


def write_suggestions(made: Manifest, into: Path, how: str, simulated: bool = False) -> Path:
    """Write `suggestions.csv`, `suggestions.parquet` and `suggestions.html` with the pictures; the page's path."""
    made.write(into / "suggestions.csv")
    made.write(into / "suggestions.parquet")
    cards = [{"rank": row["suggestion"], "id": row["id"], "reason": row["suggestion.reason"],
              "picture": thumbnail(row, made.folder)} for _, row in made.table.head(SHOWN).iterrows()]  # fmt: skip
    return _write(into, "suggestions", None, title="What to label next", subtitle=f"{how}: {HOWS[how].title}",
                  simulated=simulated, verdict=f"{len(made)} images, the most telling first.", cards=cards,
                  left=max(0, len(made) - SHOWN),
                  asides=["Mix in some drawn at random: labels chosen by a model are no sample of the dish, so figures "
                          "must not be measured on them."])  # fmt: skip


def curves(table: pd.DataFrame, by: str, x: str, name: str, title: str, reference: str = "",
           target: float | None = None) -> Plot:  # fmt: skip
    """A line a way over the number of labels, each with its band; the reference is grey and dashed."""
    look = "How good (up) with how many labels (right, each step a multiple): bands are 95 % intervals over groups."
    with sheet(620, 380) as page:
        axes = page.axes()[0]
        others = [way for way in dict.fromkeys(table[by]) if way != reference]
        style = {way: LINES[k % len(LINES)] for k, way in enumerate(others)} | {reference: (MUTED, ":")}
        for way in [*others, *([reference] if table[by].eq(reference).any() else [])]:
            own, (colour, dashes) = table[table[by].eq(way)].sort_values(x), style[way]
            axes.plot(own[x], own["value"], dashes, color=colour, label=way, marker="o", markersize=3)
            if own["low"].notna().all():
                low, high = own["low"].astype(float), own["high"].astype(float)
                axes.fill_between(own[x], low, high, color=colour, alpha=0.10, linewidth=0)
        if target is not None:
            axes.axhline(target, color=MUTED, linewidth=0.8)
        axes.set_xscale("log")
        ticks = sorted(set(table[x].round().astype(int)))
        axes.set_xticks(ticks[:: max(1, len(ticks) // 8)], [str(n) for n in ticks[:: max(1, len(ticks) // 8)]])
        axes.minorticks_off()
        ruled(axes, x="labels", y=name)
        axes.legend()
        told = "" if target is None else f"The thin line is the target, {target:.3f}."
        return Plot("labels", title, look, page.svg("labels", look), told, wide=True)


def labels(found: Interval) -> str:
    """A number of labels in words; what was not reached is "more", and saves "none".

    >>> labels(Interval(40.0, 31.2, math.inf)), labels(Interval(math.inf)), labels(Interval(math.nan))
    ('40 [31, more]', 'more', 'neither reached it')
    """
    if math.isnan(found.value):
        return "neither reached it"

    def told(value: float) -> str:
        return f"{value:.0f}" if math.isfinite(value) else "more" if value > 0 else "none"

    if found.low is None or found.high is None:
        return told(found.value)
    return f"{told(found.value)} [{told(found.low)}, {told(found.high)}]"


def _of(row: Mapping[Any, Any], name: str = "value") -> str:
    prefix = "" if name == "value" else f"{name}_"
    value, low, high = (row[each] for each in (name, f"{prefix}low", f"{prefix}high"))
    if value is None or pd.isna(value):
        return ""
    return str(Interval(value)) if low is None or pd.isna(low) else str(Interval(value, low, high))


def _write(into: Path, name: str, table: pd.DataFrame | None, *, plots: Sequence[Plot] = (),
           tables: Sequence[Grid] = (), cards: Sequence[Mapping[str, Any]] = (), left: int = 0,
           **words: Any) -> Path:  # fmt: skip
    into.mkdir(parents=True, exist_ok=True)
    if table is not None:
        table.to_csv(into / f"{name}.csv", index=False)
        (into / f"{name}.json").write_text(json.dumps(json.loads(table.to_json(orient="records")), indent=1), "utf-8")
    text = printed("labelling/page.html", plots=plots, tables=tables, cards=cards, left=left, **words)
    replaced(into / f"{name}.html", text.encode())
    return into / f"{name}.html"
