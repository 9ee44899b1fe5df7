"""System her2: scores 0 to 3+ read by people alone and with a model, and what the model changes at 0 against 1+."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from potency.evaluation import wording
from potency.systems.arms import Answered, Problem, answer, by_group, chosen, judge, mains, paper
from potency.systems.people import READ, read
from potency.systems.recipe import Arm, Budget, Fact, Figure, Order, Recipe
from potency.systems.sources import Relative, real, simulated

if TYPE_CHECKING:
    from potency.data.manifest import Manifest

PUBLISHED = (Figure("precision and recall of 0 v. 1+", "rise", "in a second round, with the model"),)
ARMS = (Arm("tiny", {"network": "tiny"}),)
QUICK = Budget("quick", ARMS, rows=200, cells=160, passes=1.5, changes={"batch": 16, "validations": 1, "test_views": 1})
DEFAULT = Budget("default", ARMS, cells=1200, passes=15, changes={"batch": 16, "validations": 2, "test_views": 1})
FULL = Budget("full", ARMS, cells=12_000, passes=60, holdout=False)
SCORES = ("0", "1+", "2+", "3+")
OWN = Relative("tissue/her2", "Fields of breast cancer stained for HER2, scored 0 to 3+.", SCORES)
ROUNDS = ("-1", "-2")  # the ends of a reader's files: alone, and weeks later with the model's answer
HOW = (
    " Two rounds need the reader study: with two rounds, the second showing what this network says, it records each "
    "reader's experience and seconds. Save a reader's rounds as NAME-1.csv and NAME-2.csv: the page then says what the "
    "second changes."
)


def run(order: Order) -> Path:
    """The network, the readers beside it, and the same at the lowest two scores; the page."""
    source = real(order, OWN, truth="category")
    if source is not None:
        problem = Problem("real", "Real images", source.about, source.manifest, False)
    else:
        world = simulated(
            order.into / "simulated-cells", order, f"{order.budget.cells} cells of four fates", kind="crops",
            look="fluorescence", classes=4, cells=order.budget.cells, groups=30,
        )  # fmt: skip
        about = "Simulated cells in fluorescence: four fates stand in for four scores; nothing here is a HER2 stain."
        problem = Problem("simulated", "Simulated cells: four fates", about, world, True)
    answered = answer(problem, order.budget.arms, order)
    answered, sheet, files = read(problem, answered, order, HOW)
    scenes = [judge(problem, answered, order)]
    lower, low = lowest(problem, answered)
    scenes.append(judge(lower, low, order))
    facts = (
        Fact("cases", "246", f"{len(problem.manifest)} images, {problem.manifest.table['group'].nunique()} groups"),
        Fact("scores", "0, 1+, 2+, 3+", ", ".join(problem.manifest.classes)),
        Fact("rounds", "two: alone, then with the model", "two, where NAME-1.csv and NAME-2.csv are given"),
        Fact("experience of readers", "junior, mid-level, senior", "as the reader study of `potency serve` records it"),
        Fact("images read", "246 cases", f"at most {READ} of those that the network was tested on"),
        Fact("split", "", by_group(order.budget)),
        Fact("test of a difference", "", "paired bootstrap over groups"),
        *chosen(next(iter(answered.plans.values())), order.budget),
    )
    return paper(RECIPE, order, scenes, facts, findings=list(gains(low, files)), sheets=[sheet])


def lowest(problem: Problem, answered: Answered) -> tuple[Problem, Answered]:
    """The rows of the lowest two scores, where every answer above the lowest counts as the second.

    No stain at all, or some: what HER2-low treatment turns on (Modi et al. 2022, N Engl J Med 387).
    """
    none, some = problem.manifest.classes[:2]
    rows = two_scores(answered.manifest, none, some)
    title = f"{problem.title}: {none} against {some}"
    about = f"Images whose truth is {none} or {some}. An answer above {some} counts as {some}: not none."
    kept = {name: called for name, called in answered.names.items() if name in rows.table}
    facts = {key: value for key, value in answered.facts.items() if key != "plan"}
    return (
        Problem(f"{problem.name}-lowest", title, about, rows, problem.simulated),
        replace(answered, manifest=rows, names=kept, facts=facts),
    )


def two_scores(rows: Manifest, none: str, some: str) -> Manifest:
    """Those rows of two scores only, with their answers as one of the two; probabilities of four are left out."""
    kept = rows.where(rows.table["truth"].isin([none, some]))
    table = kept.table.copy()
    for column in mains(table):
        said = table[column]
        table[column] = said.where(said.isna() | said.eq(none), some)
    parts = [name for name in table if str(name).startswith("prediction") and "." in str(name)]
    return replace(kept, table=table.drop(columns=parts))


def gains(low: Answered, files: Sequence[Path]) -> Iterator[str]:
    """What the second round changes for each reader who has read both, on the images that they read in both."""
    from potency.evaluation.evaluate import evaluate

    by_reader: dict[str, dict[str, str]] = defaultdict(dict)
    for path in files:
        if path.stem.endswith(ROUNDS):
            by_reader[path.stem[:-2]][path.stem[-2:]] = f"prediction@{path.stem}"
    some = low.manifest.classes[-1]
    for reader, rounds in by_reader.items():
        columns = [rounds[end] for end in reversed(ROUNDS) if end in rounds]
        if len(columns) < len(ROUNDS):
            yield f"{reader} has read one round only."
            continue
        report = evaluate(low.manifest, predictions=columns)
        told = []
        for contest in report.contests:
            for metric in (f"precision.{some}", f"recall.{some}"):
                if metric in contest.differences:
                    told.append(f"{metric.partition('.')[0]} of {some} "
                                f"{wording.spoken(contest.differences[metric], metric, signed=True)}")  # fmt: skip
            told.append(f"accuracy {wording.spoken(contest.differences['accuracy'], 'accuracy', signed=True)}, "
                        f"{wording.verdict(contest, contest.first)}")  # fmt: skip
        yield f"{reader}, with the model less alone: {'; '.join(told)}." if told else f"{reader} read no image twice."


RECIPE = Recipe(
    id="her2",
    title="HER2 0/1+/2+/3+ assistance",
    area="D",
    published=PUBLISHED,
    missing=(
        "membrane completeness and intensity to a score",
        "images of HER2 stains (simulated cells of four fates stand in, unless --data names a folder a score)",
        "the human figures, until people have read two rounds in a reader study of `potency serve`",
    ),
    method="AI-assisted reading in two rounds, 246 cases",
    run=run,
    budgets=(QUICK, DEFAULT, FULL),
)
