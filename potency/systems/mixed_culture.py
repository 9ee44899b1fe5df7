"""System mixed-culture: how much of each fate a well holds, from single cells and from the mixed image as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from potency.evaluation.prevalence import WAYS, Known, prevalence
from potency.evaluation.tables import Grid
from potency.systems.arms import Answered, Problem, answer, by_group, chosen, judge, paper
from potency.systems.comparison import Scene, Sheet
from potency.systems.figures import cloud
from potency.systems.recipe import Arm, Budget, Fact, Order, Recipe
from potency.systems.sources import SEED, Relative, Source, real, simulated

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from potency.data.manifest import Manifest
    from potency.evaluation.results import Interval

CELLS = Arm("tiny (ours)", {"network": "tiny"})
LIGHT = {"batch": 32, "validations": 2, "test_views": 1}
QUICK = Budget("quick", (CELLS,), rows=600, cells=600, passes=3, folds=3, holdout=False,
               changes={**LIGHT, "validations": 1})  # fmt: skip
DEFAULT = Budget("default", (CELLS,), cells=4000, passes=15, folds=3, holdout=False, changes=LIGHT)
FULL = Budget("full", (CELLS, Arm("ResNet-18", {"network": "resnet18"})), cells=40_000, passes=60, holdout=False,
              changes={"batch": 32})  # fmt: skip
WHOLE = {"network": "tiny", "batch": 8, "validations": 2, "test_views": 1}  # of what sees the mixed image as a whole
SIDE = 8  # cells of a mixed image in a row and in a column
SHOWN = 12  # wells in the table
NAMES = {"counted": "cells counted", "adjusted": "counts corrected by confusion", "expected": "EM (Saerens 2002)"}
END = "the mixed image as a whole"
RELATIVE = Relative(
    "classify/jurkat_ifc_cellcycle",
    "Jurkat cells in brightfield (Blasi et al. 2016), four phases of the cell cycle in place of fates. The wells are "
    "made here: real cells drawn in known proportions and laid side by side. No real co-culture with known truth is at "
    "hand.",
    ("G1", "S_phase", "G2", "Prophase"),
)


@dataclass(frozen=True)
class Well:
    """One mixture: the culture's shares it was drawn by (K,), the cells (rows of a table), and its own shares (K,)."""

    name: str
    culture: NDArray[np.float64]
    cells: NDArray[np.intp]
    own: NDArray[np.float64]


def run(order: Order) -> Path:
    """Both ways to the fractions, on real cells and on simulated ones; the page."""
    scenes, sheets, plans = list[Scene](), list[Sheet](), []
    for source, drawn in _sources(order):
        found, sheet, plan = _study(source, drawn, order)
        scenes += found
        sheets.append(sheet)
        plans.append(plan)
    count = _counts(order)
    facts = (
        Fact("images", "", "see each section"),
        Fact("mixtures", "", f"{count[1]} wells of {SIDE**2} cells, shares drawn evenly (Dirichlet)"),
        Fact("from single cells", "", "counts of classes; corrected by the confusion matrix; and by "
             "expectation-maximisation of the priors (Saerens 2002)"),
        Fact("interval", "", "groups of the known cells and cells of the well drawn again, 95 %"),
        Fact("end to end", "", f"a network regresses one fate's share from the mixed image; {count[0]} wells to learn"),
        Fact("split", "", f"{by_group(order.budget)}; wells are mixed of other groups than those corrected by"),
        *chosen(plans[0], order.budget),
    )  # fmt: skip
    return paper(RECIPE, order, scenes, facts, findings=list(held(scenes)), sheets=sheets)


def held(scenes: Sequence[Scene]) -> Iterator[str]:
    """What correction changes, in words: how often intervals hold, and the mean error."""
    for scene in scenes:
        ways = {row[0]: row for grid in scene.grids for row in grid.rows}
        if {NAMES["counted"], NAMES["adjusted"]} <= set(ways):
            plain, better = ways[NAMES["counted"]], ways[NAMES["adjusted"]]
            yield (
                f"{scene.title.partition(':')[0]}: 95 % intervals hold the culture's fraction in {plain[1]} of cases "
                f"by counted cells, in {better[1]} by corrected counts; mean errors {plain[-1]} and {better[-1]}."
            )


def _counts(order: Order) -> tuple[int, int]:
    """Wells that are learned from end to end, and wells that are tested."""
    return (40, 40) if order.budget.name == "quick" else (400, 200)


def _sources(order: Order) -> Iterator[tuple[Source, bool]]:
    source = real(order, RELATIVE)
    if source is not None:
        yield source, False
    world = simulated(
        order.into / "simulated", order, "cells of three fates", kind="crops", look="phase", classes=3, groups=40,
        cells=order.budget.cells, size=40, pixel_size=1.0,
    )  # fmt: skip
    yield Source(world, "Simulated cells of three fates in phase contrast, mixed here; groups are clones."), True


def _study(source: Source, drawn: bool, order: Order) -> tuple[list[Scene], Sheet, Any]:
    """Single cells first; then wells of the half of the groups that corrects nothing, judged fate by fate."""
    name, title = ("simulated", "Simulated cells") if drawn else ("real", "Real cells")
    problem = Problem(f"{name}-cells", f"{title}: one by one", source.about, source.manifest, drawn)
    answered = answer(problem, order.budget.arms[:1], order)
    cells = answered.manifest.where(answered.manifest.table["prediction"].notna())
    mixed = parted(cells)
    first, others = cells.where((~mixed).tolist()), cells.where(mixed.tolist())
    rng = np.random.default_rng([SEED, 37])
    learned, tested = _counts(order)
    wells = list(mixtures(others, tested, rng))
    judged = fractions(first, others, wells)
    scene = _by_cells(name, title, others, wells, judged, drawn, order)
    sheet = _told(name, title, cells.classes, wells, judged, drawn)
    training = list(mixtures(first, learned, rng))
    whole = _end_to_end(name, title, (first, training), (others, wells), judged, drawn, order)
    plan = next(iter(answered.plans.values()))
    return [judge(problem, answered, order), scene, whole], sheet, plan


def parted(cells: Manifest, seed: int = SEED) -> NDArray[np.bool_]:
    """Which rows (N,) belong to the half of the groups that wells are mixed of; the others are what is known.

    Every class is on both sides wherever it has two groups.
    """
    rng = np.random.default_rng([seed, 41])
    table = cells.table
    chosen: set[str] = set()
    settled: set[str] = set()
    for label in cells.classes:
        groups = sorted(set(table["group"][table["truth"].eq(label)].astype(str)) - settled)
        turn = list(rng.permutation(groups))
        chosen |= set(turn[: (len(turn) + 1) // 2])
        settled |= set(groups)
    return np.asarray(table["group"].astype(str).isin(chosen))


def mixtures(cells: Manifest, count: int, rng: np.random.Generator) -> Iterator[Well]:
    """Wells of real cells (rows of `cells`) in shares drawn evenly from all there are; a cell may come again."""
    truth = cells.table["truth"].to_numpy()
    classes = [label for label in cells.classes if (truth == label).any()]
    places = [np.flatnonzero(truth == label) for label in classes]
    for number in range(count):
        culture = np.zeros(len(cells.classes))
        culture[[cells.classes.index(label) for label in classes]] = rng.dirichlet(np.ones(len(classes)))
        kinds = rng.choice(len(cells.classes), SIDE**2, p=culture)
        rows = np.array([rng.choice(places[classes.index(cells.classes[kind])]) for kind in kinds])
        own = np.bincount(kinds, minlength=len(cells.classes)) / len(kinds)
        yield Well(f"well{number + 1:03d}", culture, rows, own)


def fractions(
    first: Manifest, others: Manifest, wells: Sequence[Well]
) -> Mapping[str, list[tuple[Interval, ...]]]:
    """For every way, the shares of each well with their intervals; `first` are the rows that say what is confused."""
    classes, prior = first.classes, "prediction.probability."
    numbers = np.array([classes.index(label) for label in first.table["truth"]], np.int64)
    columns = [prior + label for label in classes]
    known = Known(numbers, first.table[columns].to_numpy(np.float64), first.table["group"].to_numpy())
    answers = others.table[columns].to_numpy(np.float64)
    return {how: [prevalence(known, answers[well.cells], how=how, draws=200) for well in wells] for how in WAYS}


def _table(wells: Sequence[Well], classes: Sequence[str], judged: Mapping[str, list[tuple[Interval, ...]]]) -> Any:
    """One row a well and fate: the share there is and the shares found."""
    import pandas as pd

    return pd.DataFrame([
        {"id": f"{well.name} {label}", "group": well.name, "fate": label, "truth": float(well.own[k]),
         "prediction": judged["adjusted"][at][k].value, "prediction@counted": judged["counted"][at][k].value,
         "prediction@em": judged["expected"][at][k].value}
        for at, well in enumerate(wells) for k, label in enumerate(classes)
    ])  # fmt: skip


def _by_cells(
    name: str, title: str, others: Manifest, wells: Sequence[Well], judged: Mapping[str, list[tuple[Interval, ...]]],
    drawn: bool, order: Order,
) -> Scene:  # fmt: skip
    rows = replace(others, table=_table(wells, others.classes, judged), kinds={"truth": "number"}, origin={})
    problem = Problem(
        f"{name}-fractions", f"{title}: fraction of each fate, from classes", "The truth is the share of each fate "
        f"among the {SIDE**2} cells of a well; groups are wells. Wells share cells, so that intervals over wells are a "
        "little too narrow.", rows, drawn,
    )  # fmt: skip
    columns = {"prediction": "adjusted", "prediction@counted": "counted", "prediction@em": "expected"}
    names = {column: NAMES[way] for column, way in columns.items()}
    scene = judge(problem, Answered(rows, names, {}, {}), order)
    clouds = {
        NAMES[how]: ([s for well in wells for s in well.own], [one.value for each in judged[how] for one in each])
        for how in ("adjusted", "counted")
    }
    look = "Each point is a fate of a well; on the dotted line the fraction found is the fraction there is."
    picture = cloud("Found and true fractions", clouds, ("true fraction", "fraction found"), look, diagonal=True)
    return replace(scene, grids=(coverage(wells, judged),), pictures=(picture,))


def coverage(wells: Sequence[Well], judged: Mapping[str, list[tuple[Interval, ...]]]) -> Grid:
    """How often the intervals of each way hold the truth, how wide they are, and how far off the values."""
    lines = list[tuple[str, ...]]()
    own, culture = np.array([w.own for w in wells]), np.array([w.culture for w in wells])
    for how, found in judged.items():
        low = np.array([[-np.inf if one.low is None else one.low for one in each] for each in found])
        high = np.array([[np.inf if one.high is None else one.high for one in each] for each in found])
        value = np.array([[one.value for one in each] for each in found])
        if not np.isfinite(low).all():
            lines.append((NAMES[how], "none: under five groups", "–", "–", f"{np.abs(value - own).mean():.3f}"))
            continue
        held = [f"{np.mean((low - 1e-9 <= truth) & (truth <= high + 1e-9)):.0%}" for truth in (culture, own)]
        lines.append((NAMES[how], *held, f"{np.mean(high - low):.2f}", f"{np.abs(value - own).mean():.3f}"))
    note = ("An interval promises 95 % for the culture that the cells were drawn from. It cannot know of groups in "
            "which a fate looks another way: coverage under 95 % says that they do.")  # fmt: skip
    header = ("way", "intervals that hold the culture's fraction", "the well's own", "mean width", "mean error")
    return Grid("Do the intervals hold?", header, tuple(lines), note)


def _told(
    name: str, title: str, classes: Sequence[str], wells: Sequence[Well],
    judged: Mapping[str, list[tuple[Interval, ...]]], drawn: bool,
) -> Sheet:  # fmt: skip
    """The table a biologist wants: each well, each fate, its fraction with an interval, and what is true."""
    rows = [
        (well.name, *(f"{_said(judged['adjusted'][at][k])}, true {well.own[k]:.2f}" for k in range(len(classes))))
        for at, well in enumerate(wells[:SHOWN])
    ]
    note = f"The first {len(rows)} of {len(wells)} wells, counts corrected by confusion; brackets are 95 % intervals."
    held = Grid("Fraction of each fate per well", ("well", *classes), tuple(rows), note)
    return Sheet(f"{name}-wells", f"{title}: wells", "What is said of each well and what is in it.", drawn, (held,))


def _said(share: Interval) -> str:
    if share.low is None or share.high is None:
        return f"{share.value:.2f}"
    return f"{share.value:.2f} [{max(0.0, share.low):.2f}, {min(1.0, share.high):.2f}]"


def _end_to_end(
    name: str, title: str, training: tuple[Manifest, list[Well]], testing: tuple[Manifest, list[Well]],
    judged: Mapping[str, list[tuple[Interval, ...]]], drawn: bool, order: Order,
) -> Scene:  # fmt: skip
    """The share of the first fate, learned from the mixed images of some wells and asked of the others."""
    import pandas as pd

    from potency.data.manifest import Manifest

    place, fate, rows = order.into / f"{name}-mixed", testing[0].classes[0], []
    for split, (cells, wells) in (("train", training), ("test", testing)):
        for well in wells:
            image = f"{split}-{well.name}.png"
            mosaic(place / image, cells, well)
            rows.append({"id": f"{split} {well.name}", "image": image, "group": f"{split} {well.name}", "split": split,
                         "truth": float(well.own[0]), "simulated": drawn})  # fmt: skip
    table = pd.DataFrame(rows)
    made = Manifest.of_rows(table, place, {"truth": "number"})
    about = (f"Each well is one image of {SIDE} x {SIDE} cells; a network learns the share of {fate} from "
             f"{len(training[1])} wells of other groups, and is asked about {len(testing[1])}. Beside it the same "
             "wells from single cells.")  # fmt: skip
    problem = Problem(f"{name}-whole", f"{title}: fraction of {fate}, end to end", about, made, drawn)
    side = int(cells.open(cells.records()[0]).sizes["Y"]) * SIDE
    answered = answer(problem, (Arm(END, {**WHOLE, "tile": side, "fitting": "stretch"}),), order)
    counts = {how: [one[0].value for one in judged[how]] for how in WAYS}
    ids = [f"test {well.name}" for well in testing[1]]
    told = pd.DataFrame({"id": ids, "prediction@adjusted": counts["adjusted"], "prediction@counted": counts["counted"]})
    names = {**answered.names, "prediction@adjusted": NAMES["adjusted"], "prediction@counted": NAMES["counted"]}
    shown = answered.manifest.add(told).where(table["split"].eq("test").tolist())
    return judge(problem, replace(answered, manifest=shown, names=names), order)


def mosaic(path: Path, cells: Manifest, well: Well) -> None:
    """Write the cells of a well side by side as one grey PNG of 16 bit, in the order in which they were drawn; once."""
    import imagecodecs

    if path.is_file():
        return
    records = cells.records()
    crops = [cells.open(records[at]).crop()[0] for at in well.cells]
    lines = [np.hstack(crops[k : k + SIDE]) for k in range(0, len(crops), SIDE)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(np.vstack(lines)), level=1))


RECIPE = Recipe(
    id="mixed-culture",
    title="Mixed and co-cultures (called for by the NSC paper)",
    area="A",
    missing=(
        "a real co-culture with known truth (real cells are mixed here)",
        "end to end for every fate, not the first alone",
    ),
    method="-",
    run=run,
    budgets=(QUICK, DEFAULT, FULL),
)
