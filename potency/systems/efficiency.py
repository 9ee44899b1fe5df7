"""Early prediction of how efficient wells will be, as beta cells and heart cells share it: wells, patches, networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from potency.errors import ManifestError
from potency.systems.arms import Answered, mains, named_columns, slug
from potency.systems.maps import folds_of
from potency.systems.recipe import Arm, Asked, Figure, Order
from potency.systems.sources import simulated

if TYPE_CHECKING:
    from potency.data.image import Image
    from potency.data.manifest import Manifest

HOURS, ONSET, WASH = (9.5, 67.5), 15.0, 45.0  # of the simulated course; 24 h and 53 h are among five times or nine
ASKED = (24.0, 53.0)  # hours that figures were published of
BATCH = 0.3  # strength of donor, plate and well effects: with those of the default, so few clones would not suffice
AGREEMENT = 0.95  # how often the planted shortcut agrees with the outcome
HIDDEN = ("label", "efficiency", "cells", "changed", "shows", "evidence", "artefact", "shortcut")  # a simulator knows
NORMALISED = "patch-normalised"
SHORTCUT = "planted"
LATE = 0.5  # controls and maps look at the later half of the times, where something can be told
RULES = {"category": ("logodds", "mean", "vote", "noisyor", "max"), "number": ("mean", "median", "trimmed")}


@dataclass(frozen=True)
class Scale:
    """How large a run is: clones, wells of each, cells of a well, times, sides in pixels, rows that are explained."""

    clones: int
    wells: int
    cells: int
    frames: int
    field: int
    pixel_size: float
    patch: int
    maps: int
    controls: int
    draws: int


SCALES = {
    "quick": Scale(12, 4, 40, 5, 160, 1.3, 80, 24, 120, 300),
    "default": Scale(18, 4, 40, 5, 256, 0.65, 128, 96, 300, 1000),
    "full": Scale(60, 8, 100, 9, 512, 0.65, 160, 400, 1000, 1000),
}


@dataclass(frozen=True)
class Outcome:
    """What is foretold: words for the page, the column of the truth, and the published figure at each hour."""

    what: str
    truth: str  # "label": efficient or not; "efficiency": the share itself
    published: Mapping[float, Figure] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """Of the answer."""
        return "number" if self.truth == "efficiency" else "category"


@dataclass(frozen=True)
class Course:
    """Wells seen again and again: a row a visit, with `well`, `time` and perhaps `washed`."""

    name: str
    title: str
    about: str
    visits: Manifest
    drawn: bool
    planted: bool = False


def courses(order: Order, outcome: Outcome) -> Iterator[Course]:
    """The user's own wells where --data names any, then simulated ones without a shortcut and with one."""
    own = _own(order, outcome)
    if own is not None:
        about = "The wells that --data names, as given; groups are what the table says: clones, lines or donors."
        yield Course("real", "Your wells", about, own, False)
    told = (f"A simulated course of {outcome.what}: wells of clones, seen from {HOURS[0]:g} to {HOURS[1]:g} h. Nothing "
            f"can be told before {ONSET:g} h, for until then no pixel depends on the outcome; debris gathers until the "
            f"wash at {WASH:g} h. Its difficulty is ours, not nature's.")  # fmt: skip
    yield Course("simulated", "Simulated wells", told, _drawn(order, outcome, 0.0), True)
    trap = (f"Such wells again, but a faint artefact of the optics, one for each outcome, is painted over all pictures "
            f"of a well and agrees with its outcome {AGREEMENT:.0%} of the time, from the first hour on. Nothing that "
            "learns or judges is told.")  # fmt: skip
    planted = _drawn(order, outcome, AGREEMENT)
    yield Course(SHORTCUT, "Planted shortcut", trap, planted, True, True)


def _drawn(order: Order, outcome: Outcome, shortcut: float) -> Manifest:
    size = SCALES[order.budget.name]
    wells = size.clones * size.wells
    place = order.into / ("wells-planted" if shortcut else "wells")
    made = simulated(
        place, order, f"{wells} wells at {size.frames} times" + (" with a shortcut" if shortcut else ""), kind="course",
        cells=wells * size.cells, groups=size.clones, wells=size.wells, field=size.field, pixel_size=size.pixel_size,
        frames=size.frames, hours=HOURS, onset=ONSET, wash=WASH, shortcut=shortcut, batch=BATCH,
    )  # fmt: skip
    return made if outcome.truth == "label" else type(made).read(place, truth=outcome.truth)


def _own(order: Order, outcome: Outcome) -> Manifest | None:
    """The table that the user names; None where a collection of other images is named, or nothing."""
    from potency.data.manifest import Manifest

    if order.data is None:
        return None
    if not order.data.exists():
        raise ManifestError("there is no such folder", str(order.data), "check the path given as --data")
    if (order.data / "classify").is_dir():
        order.say(f"{order.data} holds no wells with an outcome: no real images are used")
        return None
    found = Manifest.read(order.data)
    missing = [name for name in ("well", "time") if name not in found.table]
    if missing:
        raise ManifestError(f"there is no column {' and no column '.join(map(repr, missing))}", str(order.data),
                            "give a table with file, label, group (clone), well and time")  # fmt: skip
    if found.kinds.get("truth") != outcome.kind:
        raise ManifestError(f"the truth is a {found.kinds.get('truth')}, and a {outcome.kind} is foretold here",
                            str(order.data), "label wells as two classes for beta-efficiency, by their efficiency as a "
                            "number for cardio-efficiency")  # fmt: skip
    return found.where(found.table["truth"].notna())


def tiles(side: int, image: Image) -> Iterator[tuple[int, int, int, int]]:
    """Patches of this side that cover an image evenly, overlapping where they must; a small image is one patch."""
    high, wide = image.sizes["Y"], image.sizes["X"]
    for top in _starts(high, side):
        for left in _starts(wide, side):
            yield top, left, min(side, high), min(side, wide)


def _starts(length: int, side: int) -> list[int]:
    count = max(1, -(-length // side))
    return [round(k * max(0, length - side) / max(1, count - 1)) for k in range(count)]


def learned(course: Course, order: Order) -> Answered:
    """Patches answered out of fold: under splits by clone and at random, as they are and with each patch normalised."""
    size, arm, place = SCALES[order.budget.name], order.budget.arms[0], order.into / course.name
    patches = course.visits.explode(lambda image: tiles(size.patch, image))
    arms = [arm] if course.planted else [arm, Arm(NORMALISED, {**arm.changes, "level": "patch"}, arm.passes)]
    names, plans, facts, made = dict[str, str](), dict[str, Any](), dict[str, Any](), patches
    for number, one in enumerate(arms):
        first = number == 0
        asked = Asked(
            {"tile": size.patch, **order.budget.changes, **one.changes}, passes=one.passes or order.budget.passes,
            folds=order.budget.folds, holdout=False, random=first and not course.planted,
            baselines=("trivial",) if first else (),
            title=f"{course.title}: {one.name}", arm=f"{course.title}: {one.name} ({number + 1} of {len(arms)})",
        )  # fmt: skip
        found = order.learn(patches, asked, place / slug(one.name), order.say)
        renamed = named_columns(found.rows, slug(one.name), first)
        made = made.add(renamed)
        names |= dict.fromkeys(mains(renamed), one.name if not first else arm.name)
        plans[one.name] = found.facts.get("plan", {})
        facts = facts or dict(found.facts)
    names = {column: name for column, name in names.items() if column.partition("@")[2] in ("", "random", NORMALISED)}
    return Answered(made, names, plans, facts)


def wells(rows: Manifest, network: Path, outcome: Outcome) -> tuple[Manifest, dict[str, str]]:
    """One row a visit of a well: patches pooled by the first rule, by every other and by a head that learns; names."""
    from potency.pooling import pool

    rules = RULES[outcome.kind]
    made, names = pool(rows, "image", rules[0]), dict[str, str]()
    for rule in rules[1:]:
        other = pool(rows, "image", rule, predictions=("prediction",)).table
        made = made.add(_renamed(other, f"prediction@{rule}"))
        names[f"prediction@{rule}"] = f"pooled by {rule}"
    folds = folds_of(network)
    if folds is not None:
        for head in ("mean", "gated"):
            own = {"mean": "prediction@learned-mean", "gated": "prediction@attention"}[head]
            made = made.add(_renamed(_by_head(rows, network, folds, head), own))
            names[own] = "learned, the mean of patches" if head == "mean" else "learned, gated attention"
    return made, names


def _renamed(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Ids and the main prediction of a pooled table under another name."""
    kept = [str(c) for c in table if str(c) == "prediction" or str(c).startswith("prediction.probability.")]
    return table[["id", *kept]].rename(columns={c: c.replace("prediction", name, 1) for c in kept})


def _by_head(rows: Manifest, network: Path, folds: pd.Series, head: str) -> pd.DataFrame:
    """Visits answered by a head that learned, in each fold, on embeddings of the fold's own network."""
    from potency.pooling.learn import Question, learn, of_run
    from potency.pooling.pooler import Recipe

    bare = rows.table.drop(columns=[name for name in rows.table if str(name).startswith("prediction")])
    table = bare.assign(fold=folds.reindex(bare["id"].astype(str)).to_numpy())
    embed = of_run(rows, network)
    first = int(table["fold"].min())  # nothing is given away here: no network of all rows is asked
    return learn(table, Question("image"), lambda k: embed(first if k is None else k), Recipe(head)).units
