"""Early prediction of efficiency, on the page: audit, wells at the published hours, time, patches, controls, maps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from potency.evaluation.tables import Grid
from potency.systems import passages
from potency.systems.arms import Answered, Problem, judge, slug
from potency.systems.comparison import Scene, Sheet
from potency.systems.efficiency import (
    ASKED,
    HIDDEN,
    NORMALISED,
    ONSET,
    RULES,
    SCALES,
    Course,
    Outcome,
    Scale,
    learned,
    wells,
)  # fmt: skip
from potency.systems.maps import folds_of, holding, mapped
from potency.systems.sources import SEED

if TYPE_CHECKING:
    from potency.data.manifest import Manifest
    from potency.systems.recipe import Order
    from potency.timing import Early

PATCH = f"prediction@{NORMALISED}"
HEADS = ("prediction@learned-mean", "prediction@attention")
SHOWN = {"category": ("accuracy", "balanced_accuracy", "auc"), "number": ("mae", "pearson", "r2")}
NO_NETWORK = "The learner left no network behind that could be asked."


@dataclass(frozen=True)
class Studied:
    """What came of a course: parts of the page, the audit's verdict, the early curve, the plan of the network."""

    course: Course
    sheets: tuple[Sheet, ...]
    scenes: tuple[Scene, ...]
    audit: str
    early: Early
    plan: Mapping[str, Any]


def study(course: Course, outcome: Outcome, order: Order) -> Studied:
    """Audit, patches, networks, wells, time, controls and maps of one course."""
    size, place = SCALES[order.budget.name], order.into / course.name
    order.say(f"{course.title}: {len(course.visits)} pictures of {course.visits.table['group'].nunique()} clones")
    first, verdict = audited(course, place)
    answered = learned(course, order)
    rows, network = answered.manifest, place / slug(order.budget.arms[0].name)
    order.say(f"{course.title}: patches become wells, wells over time")
    visits, pooled = wells(rows, network, outcome)
    answered = replace(answered, names={**answered.names, **pooled})
    early = _early(visits, place, size, {**answered.names, "prediction": "each time alone"})
    scenes = tuple(_scenes(course, outcome, visits, answered, order))
    times = rows.table["time"].astype(float)
    late = rows.where((times >= times.median()).tolist())  # where something can be told
    parts = [first, _time(course, early), _patches(course, outcome, rows, visits, answered.names)]
    if not course.planted:
        order.say(f"{course.title}: controls")
        parts.append(_controls(course, late, network, place, size))
    order.say(f"{course.title}: relevance maps")
    shown = holding(rows, "shortcut") if course.planted else late
    parts.append(_maps(course, shown, network, place, size))
    return Studied(course, tuple(parts), scenes, verdict, early, next(iter(answered.plans.values())))


def audited(course: Course, place: Path) -> tuple[Sheet, str]:
    """The confounder audit of whole pictures, without what only a simulator knows; the sheet, and its verdict."""
    from potency.confounding.audit import audit

    table = course.visits.table
    bare = table.drop(columns=[name for name in HIDDEN if name in table])
    found = audit(replace(course.visits, table=bare), parts=("pictures",), draws=999)
    found.write(place / "audit")
    link = (f"{course.name}/audit/audit.html", "The whole audit: every suspect, every rule")
    said = " ".join([course.about, found.verdict, *(f"{line[:1].upper()}{line[1:]}" for line in found.lines)])
    sheet = Sheet(f"{course.name}-audit", f"{course.title}: confounder audit", said, course.drawn, links=(link,))
    return sheet, found.verdict


def _early(visits: Manifest, place: Path, size: Scale, names: Mapping[str, str]) -> Early:
    from potency.timing import early

    chosen = [name for name in ("prediction", HEADS[1], PATCH) if name in visits.table]
    visits = visits.add({"hours": visits.table["time"]})
    found = early(visits, "hours", "well", predictions=chosen, chance=(size.draws, SEED))
    found = passages.called(found, names)
    found.write(place / "early")
    return found


def _scenes(
    course: Course, outcome: Outcome, visits: Manifest, answered: Answered, order: Order
) -> Iterator[Scene]:
    """Wells at the hours that figures were published of, or at the last hour where a user has others."""
    there = visits.table["time"].astype(float)
    hours = [hour for hour in ASKED if (there == hour).any()] or [float(there.max())]
    for hour in hours[:1] if course.planted else hours:
        rows = visits.where((there == hour).tolist())
        said = outcome.published.get(hour)
        metric = "accuracy" if outcome.kind == "category" else "mae"
        about = f"One answer a well, from its patches at {hour:g} h."
        problem = Problem(f"{course.name}-{hour:g}h", f"{course.title} at {hour:g} h", about, rows, course.drawn,
                          {metric: said} if said is not None else {})  # fmt: skip
        named = {"prediction": f"{answered.names['prediction']}, patches pooled by {RULES[outcome.kind][0]}"}
        named |= {"prediction@random": named["prediction"], PATCH: "the same, normalised patches"}
        names = {**answered.names, **named}
        yield judge(problem, replace(answered, manifest=rows, names=names), order)


def _time(course: Course, early: Early) -> Sheet:
    grids, pictures = passages.curve(early)
    about = early.verdict
    if course.drawn:
        about += f" In truth nothing can be told of these cells before {ONSET:g} h.{too_early(early)}"
    link = (f"{course.name}/early/early.html", "All curves, all times")
    title = f"{course.title}: how early can it be told?"
    return Sheet(f"{course.name}-time", title, about, course.drawn, grids=grids, pictures=pictures, links=(link,))


def too_early(early: Early) -> str:
    """What must be said of curves that beat the trivial answer before there is anything to see; else nothing."""
    names = [f"{one.name} (at {one.first:g} h)" for one in early.curves if one.first is not None and one.first < ONSET]
    if not names:
        return ""
    return (f" Yet {', '.join(names)} beats the trivial answer: what is right before there is anything to see rests on "
            "something else than the cells.")  # fmt: skip


def _patches(
    course: Course, outcome: Outcome, rows: Manifest, visits: Manifest, names: Mapping[str, str]
) -> Sheet:
    """Ways to pool, normalised patches before and after the wash, and what a random split flatters."""
    from potency.evaluation.along import along

    told, grids = visits.table, [_rules(outcome, visits, names)]
    plain = {"prediction": "as they are"}
    if PATCH in rows.table:
        both = {PATCH: "patches normalised", **plain}
        washed = rows.table.get("washed")
        said = {} if washed is None else {
            f"{float(time):g}": " h, washed" if bool(gone) else " h"
            for time, gone in zip(rows.table["time"], washed, strict=True)
        }
        levels = along(rows, "time", list(both))
        note = "Patches are judged one by one; intervals draw whole clones."
        title = "Single patches, normalised and not, at each time"
        grids.append(passages.compared(title, levels, both, "hours", note, said))
        if washed is not None and washed.nunique() > 1:
            told_apart = washed.map({False: "before", True: "after"})
            part = replace(rows, table=rows.table.assign(wash=told_apart))
            levels = along(part, "wash", list(both))
            grids.append(passages.compared("Single patches, before and after the wash", levels, both, "wash"))
    if "prediction@random" in told:
        sides = {"prediction": "split by clone", "prediction@random": "random split"}
        levels = along(visits, "time", list(sides))
        note = ("Wells, answered once by networks that never saw their clone, and once by networks that saw other "
                "patches of the same wells: the difference is what a random split would flatter.")  # fmt: skip
        grids.append(passages.compared("What a random split would have said", levels, sides, "hours", note))
    about = (f"{len(rows):,} patches of {len(visits):,} pictures. Patches are learned from and answered one by one; a "
             "picture of a well is what its patches say together.")  # fmt: skip
    title = f"{course.title}: from patches to wells"
    return Sheet(f"{course.name}-patches", title, about, course.drawn, grids=tuple(grids))


def _rules(outcome: Outcome, visits: Manifest, names: Mapping[str, str]) -> Grid:
    """Every way to pool at the published hours and over all, by the same figure."""
    from potency.evaluation.evaluate import evaluate
    from potency.evaluation.wording import known, spoken

    columns = {"prediction": f"pooled by {RULES[outcome.kind][0]}"} | {
        name: names[name] for name in (*(f"prediction@{rule}" for rule in RULES[outcome.kind]), *HEADS)
        if name in visits.table and name in names}  # fmt: skip
    metric, times = SHOWN[outcome.kind][0], visits.table["time"].astype(float)
    parts = {f"{hour:g} h": times == hour for hour in ASKED if (times == hour).any()} | {"all times": times >= 0}
    found = {name: evaluate(visits.where(mask.tolist()), predictions=tuple(columns)).numbers
             for name, mask in parts.items()}  # fmt: skip
    rows = tuple(
        (title, *(spoken(numbers[column].get(metric), metric) for numbers in found.values()))
        for column, title in columns.items()
    )
    note = (f"{known(metric)[0]} of wells, with 95 % intervals over clones. Heads are learned on the embeddings of "
            "each fold's network, on the other clones.")  # fmt: skip
    return Grid("Ways to pool", ("way", *parts), rows, note)


def _controls(course: Course, late: Manifest, network: Path, place: Path, size: Scale) -> Sheet:
    from potency.reliance import controls

    model = network if folds_of(network) is not None else None
    found = controls(late, model, most=size.controls, draws=size.draws, seed=SEED)
    found.write(place / "controls")
    grids, pictures = passages.controlled(found)
    about = " ".join([*found.verdict, "Patches of the later half of the times.", *([] if model else [NO_NETWORK])])
    title = f"{course.title}: frequencies, arrangement, patch variance"
    link = (f"{course.name}/controls/controls.html", "All controls, spectra of both outcomes")
    return Sheet(f"{course.name}-controls", title, about, course.drawn, grids=grids, pictures=pictures, links=(link,))


def _maps(course: Course, rows: Manifest, network: Path, place: Path, size: Scale) -> Sheet:
    """Relevance with its account, and where it lies: in holes and cells, where the fate shows, in the artefact."""
    name, title = f"{course.name}-maps", f"{course.title}: relevance maps"
    found = mapped(rows, network, place / "maps", size.maps, SEED)
    if found is None:
        return Sheet(name, title, f"No map was made. {NO_NETWORK}", course.drawn)
    grids = [passages.account(found.made, found.books)]
    grids.append(passages.segments("Where the maps lie: holes, cells, rims, debris", found.over("auto")))
    known = {"evidence": ("neuron", "Where a neuron can be told, as the simulator knows"),
             "shortcut": ("artefact", "In the planted artefact, as the simulator knows")}  # fmt: skip
    for column, (word, heading) in known.items():
        if column in found.made.table and found.made.table[column].notna().all():
            grids.append(passages.segments(heading, found.over(f"{column}:ground,{word}")))
    pictures = passages.maps(found.made, found.folder)
    about = ("Layer-wise relevance propagation of single patches, each by the network of the fold that had not seen "
             "its clone. What is handed back is what the patch has beyond its background. In the pictures the patch is "
             "left, its map right: red speaks for the answer, blue against it.")  # fmt: skip
    about += " Patches that the artefact reaches, of all times." if course.planted else " Patches of the later times."
    return Sheet(name, title, about, course.drawn, tuple(grids), pictures)


def findings(studies: Sequence[Studied], outcome: Outcome) -> tuple[str, ...]:
    """What the courses say together, in words."""
    from potency.evaluation.wording import known, spoken

    said, metric = [], SHOWN[outcome.kind][0]
    for one in studies:
        figures = []
        for scene in one.scenes:
            found, published = scene.report.numbers["prediction"], scene.published.get(metric)
            told = "" if published is None else f" (published {published.value})"
            figures.append(f"{spoken(found.get(metric), metric)}{scene.title.removeprefix(one.course.title)}{told}")
        first = next((point for point in one.early.curves[0].points if point.figure is not None), None)
        before = "" if first is None or not one.course.drawn or first.time >= ONSET else (
            f" At {first.time:g} h, when nothing can be told of these cells, {known(one.early.score)[0].lower()} is "
            f"{first.figure}.")  # fmt: skip
        said.append(f"{one.course.title}: {known(metric)[0].lower()} of wells {'; '.join(figures)}.{before}"
                    + (too_early(one.early) if one.course.drawn else ""))
    return tuple(said)


def warnings(studies: Sequence[Studied]) -> tuple[str, ...]:
    """The audit's words, which stand at the top of the page."""
    return tuple(f"Confounder audit. {one.course.title}: {one.audit}" for one in studies)
