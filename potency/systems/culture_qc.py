"""System culture-qc: every image judged before any analysis, how cultures grow, and how well the flags find faults."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from potency.evaluation.tables import Grid
from potency.simulate.faulty import SOUND, faulty
from potency.systems.arms import Answered, Problem, judge, paper
from potency.systems.comparison import Scene, Sheet
from potency.systems.fields import SETS, counted, evenly, read
from potency.systems.figures import curves
from potency.systems.recipe import Budget, Fact, Order, Recipe
from potency.systems.sources import SEED, sampled, simulated

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from potency.data.manifest import Manifest
    from potency.evaluation.gallery import Wall

QUICK = Budget("quick", (), rows=16, cells=2400)
DEFAULT = Budget("default", (), rows=150, cells=9600)
FULL = Budget("full", (), cells=19_200)
LOOKED_FOR = ("debris?", "bubble?")  # candidates that a person has to look at come first among the pictures
TOLD = {"confluence": "confluence", "focus_blur_px": "blur in px", "unevenness": "unevenness"}
WALLS = 3  # flags of a set that are shown
FILMED = 60.0  # hours of the simulated films


def run(order: Order) -> Path:
    """Judge every set, follow every time-lapse, plant faults and count which are found; the page."""
    sheets = [_sheet(name, made, about, False, order, tracks) for name, made, about, tracks in _real(order)]
    sheets.append(_film(order))
    scene = planted(order)
    facts = (
        Fact("what is judged", "brightness, contrast, noise, magnification, equipment, staining, debris, washing",
             "focus, light, noise, saturation, haze (wash), specks (debris), bubbles, confluence, emptiness"),
        Fact("thresholds", "", "those of `potency check --images`, the same for every set"),
        Fact("confluence", "", "by texture, without training; growth by an exponential or logistic fit"),
        Fact("images of a set", "", f"at most {order.budget.rows}" if order.budget.rows else "all"),
    )  # fmt: skip
    return paper(RECIPE, order, [scene], facts, findings=[found(scene)], sheets=sheets)


def _real(order: Order) -> Iterator[tuple[str, Manifest, str, Path | None]]:
    """The real sets at hand, or the user's own folder as one set."""
    from potency.data.manifest import Manifest
    from potency.errors import ManifestError

    if order.data is None:
        return
    if not order.data.exists():
        raise ManifestError("there is no such folder", str(order.data), "check the path given as --data")
    there = [one for one in SETS if (order.data / one.folder).is_dir()]
    for one in there:
        made = read(order.data / one.folder, one)
        kept = evenly(made, order.budget.rows) if one.hours else sampled(made, order.budget.rows)
        tracks = order.data / one.folder / one.tracks
        yield one.name, kept, one.about, tracks if one.tracks and tracks.is_file() else None
    if not there:
        made = Manifest.read(order.data)
        timed = "time" in made.table
        kept = made if timed else sampled(made, order.budget.rows)
        yield "own", kept, f"Images of {order.data}, as given.", None


def _sheet(name: str, rows: Manifest, about: str, drawn: bool, order: Order, tracks: Path | None) -> Sheet:
    """One set: its flags, its numbers, its growth, its candidates; and the table of every image beside the page."""
    from potency.measurement.quality.page import page
    from potency.measurement.quality.quality import lights, quality

    order.say(f"{name}: judging {len(rows)} images")
    made, light = quality(rows), lights(rows)
    grown = _growth(made)
    into = order.into / name
    into.mkdir(parents=True, exist_ok=True)
    made.write(into / "quality.csv")
    (into / "quality.html").write_text(page(made, light, grown), encoding="utf-8")
    grids = [_summary(made)]
    pictures = []
    if grown is not None:
        counts = _counts(made, tracks)
        grids.append(_rates(made, grown, counts))
        pictures.append(_curve(made, counts))
    links = ((f"{name}/quality.html", "All measures of this set, its light and the worst images of each flag"),
             (f"{name}/quality.csv", "The table: every image with its measures and flags"))  # fmt: skip
    title = f"{'Simulated' if drawn else 'Real'} images: {name.replace('-', ' ')}"
    return Sheet(name, title, about, drawn, tuple(grids), tuple(pictures), tuple(_walls(made)), links)


def _summary(made: Manifest) -> Grid:
    """Each flag with its share, and three numbers a biologist asks for first."""
    from potency.measurement.quality.page import numbers
    from potency.measurement.quality.quality import flagged

    known = numbers(made)
    flags = flagged(made)
    rows = [(word, f"{len(at)} of {len(made)}", f"{len(at) / len(made):.0%}") for word, at in flags.items()]
    clear = int(made.table["quality.flags"].fillna("").eq("").sum())
    rows.append(("no flag", f"{clear} of {len(made)}", f"{clear / len(made):.0%}"))
    told = [
        f"{what} {known[measure]['median']:.2g} ({known[measure]['p5']:.2g} to {known[measure]['p95']:.2g})"
        for measure, what in TOLD.items()
        if measure in known
    ]  # fmt: skip
    note = "Median (5 to 95 %): " + ", ".join(told) + "." if told else ""
    return Grid("Flags", ("flag", "images", "share"), tuple(rows), note)


def _walls(made: Manifest) -> list[Wall]:
    """Pictures of the flagged, candidates of debris and contamination first."""
    from potency.measurement.quality.page import worst
    from potency.measurement.quality.quality import flagged

    found = flagged(made)
    order = sorted(found, key=lambda flag: not flag.startswith(LOOKED_FOR))
    return [replace(wall, cards=wall.cards[:8]) for wall in (worst(made, flag) for flag in order[:WALLS])]


def _growth(made: Manifest) -> pd.DataFrame | None:
    """Growth of each film, where there are films."""
    from potency.errors import ManifestError
    from potency.measurement.quality.growth import growth

    names = [str(n) for n in made.table if str(n).startswith("quality.") and str(n).endswith("confluence")]
    if "time" not in made.table or not names:
        return None
    try:
        channel = names[0].removeprefix("quality.").removesuffix("confluence").rstrip(".")
        return growth(made, channel=channel)
    except ManifestError:  # no time is a number
        return None


def _counts(made: Manifest, tracks: Path | None) -> NDArray[np.float64] | None:
    """The number of cells of every row where it is known: of the simulator, or by hand."""
    if "cells" in made.table:
        return made.table["cells"].to_numpy(np.float64)
    if tracks is None:
        return None
    every = counted(tracks.read_text(encoding="ascii"))
    frames = made.table["frame"].to_numpy(np.int64)
    return np.where(frames < len(every), every[np.minimum(frames, len(every) - 1)], np.nan)


def _films(made: Manifest) -> list[tuple[str, NDArray[np.intp]]]:
    from potency.measurement.quality.growth import followed

    names = made.table[followed(made.table)].astype("str").agg(" ".join, axis=1)
    return [(str(name), np.flatnonzero(names == name)) for name in dict.fromkeys(names)]


def _confluence(made: Manifest) -> NDArray[np.float64]:
    name = next(str(n) for n in made.table if str(n).startswith("quality.") and str(n).endswith("confluence"))
    return made.table[name].to_numpy(np.float64)


def _rates(made: Manifest, grown: pd.DataFrame, counts: NDArray[np.float64] | None) -> Grid:
    """The growth of each film by confluence, and by the number of cells where that is known."""
    from potency.measurement.quality.growth import growth_rate

    rows = []
    hours = made.table["time"].to_numpy(np.float64)
    for (name, at), row in zip(_films(made), grown.to_dict("records"), strict=True):
        cells = growth_rate(hours[at], counts[at]) if counts is not None else None
        rows.append((
            name, _rate(row), f"{row['doubling']:.3g} h" if np.isfinite(row["doubling"]) else "–",
            row["model"] or "none", str(row["points"]),
            "–" if cells is None or not cells.model else _rate(vars(cells)),
            "; ".join(filter(None, (row["why"], _unsure(row)))) or "–",
        ))  # fmt: skip
    header = ("film", "rate of confluence, 1/h [95 %]", "doubling", "fit", "frames", "rate of cells counted", "mind")
    note = ("Intervals are those of the fit, widened for errors that follow one another; a film is one field, so they "
            "say nothing of other fields.")  # fmt: skip
    return Grid("Growth", header, tuple(rows), note)


def _unsure(row: Any) -> str:
    return "the interval holds zero: growth is not shown" if row["low"] <= 0 <= row["high"] else ""


def _rate(row: Any) -> str:
    if not np.isfinite(row["rate"]):
        return "none"
    return f"{row['rate']:.3g} [{row['low']:.3g}, {row['high']:.3g}]".replace("-", "−")


def _curve(made: Manifest, counts: NDArray[np.float64] | None) -> Any:
    hours, cover = made.table["time"].to_numpy(np.float64), _confluence(made)
    lines = {}
    for name, at in _films(made)[:4]:
        at = at[np.argsort(hours[at])]
        lines[f"{name}: confluence"] = (hours[at], cover[at])
        if counts is not None:
            scale = np.nanmean(cover[at]) / np.nanmean(counts[at])
            lines[f"{name}: cells counted, scaled"] = (hours[at], counts[at] * scale)
    look = "Share of the field that cells cover" + (
        "; the number of cells, scaled to the same mean, beside it." if counts is not None else "."
    )
    return curves("Confluence over time", lines, ("hours", "confluence"), look)


def _film(order: Order) -> Sheet:
    """A simulated time-lapse, whose number of cells is known in every frame."""
    films = simulated(
        order.into / "simulated-films", order, "films of growing cells", kind="movie", look="phase", cells=60, groups=2,
        wells=1, frames=16 if order.budget.name == "quick" else 48, hours=(24.0, 24.0 + FILMED), field=448,
    )  # fmt: skip
    about = "Two simulated films in phase contrast of 60 hours; how many cells there are is known in every frame."
    return _sheet("simulated-growth", films, about, True, order, None)


NAMED = {  # what is planted: the flag that would name it
    "out of focus": "out of focus", "uneven light": "uneven light", "bubble": "bubble?", "some specks": "debris?",
    "many specks": "debris?", SOUND: "",
}  # fmt: skip


def planted(order: Order) -> Scene:
    """Simulated fields, two in five of them with a fault of known kind: does a flag say that something is wrong?"""
    from potency.measurement.quality.quality import quality

    order.say("planted: fields with faults")
    made = quality(faulty(order.into / "planted" / "images", order.budget.cells // 40, seed=SEED))
    wrong = made.table["fault"].ne(SOUND)
    words = made.table["quality.flags"].fillna("")
    made = made.add({"truth": np.where(wrong, "fault", "sound"), "prediction": np.where(words.ne(""), "fault", "sound"),
                     "simulated": True}, "category")  # fmt: skip
    about = ("Simulated fields in phase contrast, two in five with a fault planted on purpose; groups are clones. An "
             "image counts as called faulty where it carries any flag.")  # fmt: skip
    problem = Problem("planted", "Simulated images: are planted faults found?", about, made, True)
    scene = judge(problem, Answered(made, {"prediction": "flags"}, {}, {}), order)
    rows = []
    for fault, flag in NAMED.items():
        here = made.table["fault"].eq(fault).to_numpy()
        named = np.array([flag in word for word in words[here]])
        some = words[here].ne("").to_numpy()
        total = int(here.sum())
        rows.append((fault, str(total), f"{named.sum()} of {total}" if flag else "–", f"{some.sum()} of {total}"))
    grid = Grid("Each fault", ("planted", "images", "named by its flag", "carry any flag"), tuple(rows))
    return replace(scene, grids=(grid,))


def found(scene: Scene) -> str:
    """Which planted faults the flags name, in words."""
    rows = [row for row in scene.grids[0].rows if row[0] != SOUND]
    named = "; ".join(f"{row[0]} {row[2]}" for row in rows)
    sound = next(row for row in scene.grids[0].rows if row[0] == SOUND)
    return f"Planted in simulated fields and named by its flag: {named}. Sound fields with any flag: {sound[3]}."


RECIPE = Recipe(
    id="culture-qc",
    title="Automated quality control of cultures",
    area="A",
    method="focus, illumination, confluence, debris and contamination",
    run=run,
    budgets=(QUICK, DEFAULT, FULL),
)
