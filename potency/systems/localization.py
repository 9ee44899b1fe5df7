"""System localization: where a protein stands in its cell, in several places at once, and a gate that sorts cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from potency.errors import ManifestError
from potency.evaluation import gate, wording
from potency.evaluation.tables import Grid
from potency.systems.arms import Answered, Problem, answer, chosen, judge, paper
from potency.systems.comparison import Scene, Sheet
from potency.systems.figures import curves
from potency.systems.recipe import Arm, Budget, Fact, Order, Recipe
from potency.systems.sources import SEED, Relative, real, simulated

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from potency.data.manifest import Manifest
    from potency.evaluation.results import Interval

ARMS = (Arm("MobileNet-v3", {"network": "mobilenetv3"}), Arm("ResNet-18", {"network": "resnet18"}))
LIGHT = {"batch": 32, "validations": 3, "test_views": 1, "tile": 64}
QUICK = Budget("quick", ARMS, rows=240, cells=240, passes=1.5, changes={**LIGHT, "validations": 1})
DEFAULT = Budget("default", ARMS, cells=2400, passes=15, changes=LIGHT)
FULL = Budget("full", ARMS, cells=24_000, passes=60, changes={**LIGHT, "batch": 64})
GROUPS = 24  # simulated clones: a quarter of them must still give an interval
PARTS = 4  # one of so many parts of the groups is tested; of the rest a fifth chooses checkpoint and gate
PURITIES = (0.8, 0.9, 0.95)  # asked of the gate on the validation rows
CALLS = 500  # decisions that are timed
NONE_HERE = Relative(
    "classify/protein_localization",
    "Cells whose protein stands in several compartments at once.",
)
BASELINES = {"forest": "random forests, one a class", "trivial": "trivial: size and intensity, one forest a class"}
CONSTANT = "the commonest set"


def run(order: Order) -> Path:
    """Two networks and their baselines, the gate of the first, and how long a decision takes; the page."""
    scenes, sheets, plans = list[Scene](), list[Sheet](), []
    for problem in problems(order):
        answered = beside(answer(problem, order.budget.arms, order, baselines=()))
        scene = judge(problem, answered, order)
        scenes.append(replace(scene, grids=(by_class(scene, problem.manifest.classes),)))
        sheets += [gated(problem, answered), timed(problem, answered)]
        plans.append(next(iter(answered.plans.values())))
    facts = (
        Fact("classes", "localisation classes, several at once", "one sigmoid a class on one shared network"),
        Fact("networks", "not stated", ", ".join(arm.name for arm in order.budget.arms)),
        Fact("split", "", f"whole groups: a part of {PARTS} tested, a fifth of the rest chooses checkpoint and gate"),
        Fact("threshold of a class", "", "probability .5"),
        Fact("gate", "", f"of the highest yield at a purity of {', '.join(map(str, PURITIES))} on validation rows, "
             "ten wanted cells at least behind it"),
        Fact("decision", "milliseconds", "from pixels in memory to the answer, one crop at a time"),
        *chosen(plans[0], order.budget),
    )  # fmt: skip
    return paper(RECIPE, order, scenes, facts, sheets=sheets)


def problems(order: Order) -> Iterator[Problem]:
    """The user's own images, where there are any, and the simulated cells."""
    source = real(order, NONE_HERE)
    if source is not None:
        if not source.manifest.classes:
            raise ManifestError("no column names what is in each image", f"{order.data}, column 'truth'",
                                "write names with | between them, like nucleus | membrane, or none")  # fmt: skip
        rows = replace(source.manifest, kinds={**source.manifest.kinds, "truth": "labelset"})
        yield Problem("real", "Your images", source.about, dealt(rows), False)
    cells = order.budget.cells
    world = simulated(order.into / "simulated", order, f"{cells} cells with a stained protein", kind="proteins",
                      cells=cells, groups=GROUPS, wells=2)  # fmt: skip
    about = ("Simulated cells in fluorescence, DNA and a protein that stands in cytoplasm, membrane, nucleoli or "
             "nucleus, in several of them, or in none. Groups are clones. Their difficulty is ours.")  # fmt: skip
    yield Problem("simulated", "Simulated proteins", about, dealt(world), True)


def dealt(rows: Manifest, seed: int = SEED) -> Manifest:
    """The rows with `split` in whole groups: train, validation and test; a division that came along is kept."""
    if "split" in rows.table and {"train", "validation", "test"} <= set(rows.table["split"]):
        return rows
    made = rows.split(folds=PARTS, seed=seed).fold(0, 0.2, seed)
    return replace(made, table=made.table.drop(columns="fold"))


def beside(answered: Answered) -> Answered:
    """The test rows answered by what the networks must beat: forests on features, and always the same set."""
    import pandas as pd

    from potency.answers import Labelset

    rows = answered.manifest
    classes, test = rows.classes, rows.table["split"].eq("test").to_numpy()
    truth = sets(rows.table["truth"], classes)
    images = [rows.open(row).crop(rows.window(row)) for row in rows.records()]
    shares = {name: forests(name, images, truth, ~test) for name in BASELINES}
    common = rows.table["truth"][~test].mode().iloc[0]
    told = {"prediction@constant": [common] * int(test.sum())}
    for name, share in shares.items():
        cells = [Labelset.of_probability(classes, one).cells(rows.folder, f"prediction@{name}") for one in share]
        told |= {key: [cell[key] for cell in cells] for key in cells[0]}
    frame = pd.DataFrame({"id": rows.table["id"][test].to_numpy(), **told})
    names = {f"prediction@{name}": title for name, title in BASELINES.items()}
    return replace(answered, manifest=rows.add(frame),
                   names={**answered.names, **names, "prediction@constant": CONSTANT})  # fmt: skip


def sets(truth: pd.Series, classes: Sequence[str]) -> NDArray[np.bool_]:
    """Which classes (N, K) each cell of a column names."""
    from potency.data.several import names_of

    return np.array([[name in names_of(cell) for name in classes] for cell in truth])


def forests(
    name: str, images: Sequence[NDArray[Any]], truth: NDArray[np.bool_], learned: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """The probability (tested, K) of each class by a forest of its own, fitted on the `learned` (N,) rows."""
    from potency.estimators import find_estimator

    learner = find_estimator(name)
    table = learner.features(images)
    found = np.empty((int((~learned).sum()), truth.shape[1]))
    for k in range(truth.shape[1]):
        there = truth[learned, k]
        if there.all() or not there.any():  # nothing to tell apart
            found[:, k] = float(there.all())
            continue
        fitted = learner.fit(table[learned], np.where(there, "yes", "no"), classes=("no", "yes"), seed=SEED)
        found[:, k] = fitted.predict(table[~learned])["probability"][:, 1]
    return found


def by_class(scene: Scene, classes: Sequence[str]) -> Grid:
    """F1 and average precision of every class, by each learner."""
    lines = [
        (f"{wording.source(column, scene.report.facts)}: {what}",
         *(wording.spoken(figures.get(f"{metric}.{label}"), metric) for label in classes))
        for column, figures in scene.report.numbers.items() if not column.endswith("random")
        for what, metric in (("F1", "f1"), ("average precision", "average_precision"))
        if any(f"{metric}.{label}" in figures for label in classes)
    ]  # fmt: skip
    return Grid("Class by class", ("learner", *classes), tuple(lines), "By group; brackets are 95 % intervals.")


def gated(problem: Problem, answered: Answered) -> Sheet:
    """A gate for each class by the first network: chosen on validation rows, judged on test rows."""
    from potency.bundle import Bundle
    from potency.inference.predict import predict

    rows, classes = answered.manifest, problem.manifest.classes
    first, learned = next(iter(answered.learned.items()))
    assert learned.bundle is not None
    known = predict(problem.manifest.of("validation"), Bundle.load(learned.bundle), into=None)
    held = known.table[known.table["prediction"].notna()]
    tested = rows.table[rows.table["split"].eq("test") & rows.table["prediction"].notna()]
    lines, drawn = [], {}
    for k, name in enumerate(classes):
        score = f"prediction.probability.{name}"
        before, after = (sets(part["truth"], classes)[:, k] for part in (held, tested))
        if not before.any() or not after.any():
            continue
        _, pure, yielded = gate.curve(after, tested[score])
        drawn[name] = (yielded, pure)
        for purity in PURITIES:
            made = gate.choose(before, held[score], purity)
            told = gate.judge(made, after, tested[score], tested["group"])
            lines.append((
                name, f"{purity:.0%}" + ("" if made.reached else " (not reached)"), f"{made.threshold:.3f}",
                f"{made.purity:.0%}", _share(told.purity), _share(told.yield_), _share(told.kept),
                f"{told.enrichment.value:.1f}",
            ))  # fmt: skip
    head = ("wanted", "purity asked", "gate opens at", "purity on validation rows", "purity", "yield", "cells kept",
            "enrichment")  # fmt: skip
    note = ("Purity: of the kept cells those that are wanted. Yield: of the wanted cells those that are kept. "
            "Enrichment: purity over the share of wanted cells. Brackets: 95 % intervals over groups.")  # fmt: skip
    about = (f"{first} sorts out the cells of one class at a time. Each gate is the most yielding one of those pure "
             f"enough on {len(held)} validation rows, which also chose the checkpoint; its purity and yield are those "
             f"of {len(tested)} test rows of other groups.")  # fmt: skip
    look = "Test rows. A gate moved to the right keeps more of the wanted cells, and more of the others."
    picture = curves("Purity and yield", drawn, ("yield", "purity"), look)
    return Sheet(f"{problem.name}-gate", f"{problem.title}: a sorting gate", about, problem.simulated,
                 grids=(Grid("Gates", head, tuple(lines), note),), pictures=(picture,) if drawn else ())  # fmt: skip


def _share(told: Interval) -> str:
    """A share in per cent with its interval."""
    if not np.isfinite(told.value):
        return "–"
    inner = "" if told.low is None or told.high is None else f" [{told.low:.0%}, {told.high:.0%}]"
    return f"{told.value:.0%}{inner}"


def timed(problem: Problem, answered: Answered) -> Sheet:
    """How long each network takes for one decision on this machine."""
    from potency.bundle import Bundle
    from potency.inference.latency import latency

    some = problem.manifest.of("test")
    samples = [{"image": some.open(row).crop(some.window(row))} for row in some.records()[:16]]
    lines = []
    for name, learned in answered.learned.items():
        assert learned.bundle is not None
        told = latency(Bundle.load(learned.bundle), samples, CALLS)
        lines.append((name, f"{told.p50:.2f}", f"{told.p99:.2f}", f"{told.longest:.2f}", f"{1e3 / told.p50:,.0f}",
                      told.engine))  # fmt: skip
    head = ("network", "p50, ms", "p99, ms", "longest, ms", "decisions a second", "computed by")
    note = (f"{CALLS} decisions, one crop at a time, from pixels in memory to the answer. Published: a decision in "
            "milliseconds.")  # fmt: skip
    about = "What a sorter waits for: the time between the picture of a cell and what is said of it."
    return Sheet(f"{problem.name}-latency", f"{problem.title}: how long a decision takes", about, problem.simulated,
                 grids=(Grid("Latency of a decision", head, tuple(lines), note),))  # fmt: skip


RECIPE = Recipe(
    id="localization",
    title="Protein localisation and image-activated sorting",
    area="B",
    missing=(
        "real images of proteins in several compartments: none are at hand (--data takes the user's own)",
        "its default budget has not been run to the end on two cores",
    ),
    method="classifier over localisation classes; decision in milliseconds",
    run=run,
    budgets=(QUICK, DEFAULT, FULL),
)
