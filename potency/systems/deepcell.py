"""System deepcell: interior, boundary and background of nuclei, cells and bacteria, types beside, growth of a film."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from potency.answers import Labels
from potency.evaluation.tables import Grid
from potency.measurement.quality.growth import Curve, growth_rate
from potency.systems.arms import Problem, answer, by_group, chosen, judge, paper
from potency.systems.comparison import Scene
from potency.systems.figures import curves
from potency.systems.outlines import GROUPS, LIGHT, NUCLEI, of_table
from potency.systems.recipe import Arm, Budget, Fact, Figure, Order, Recipe
from potency.systems.sources import Relative, real, simulated
from potency.systems.typed import CELLS, consep, fates

if TYPE_CHECKING:
    from pathlib import Path

    from potency.data.manifest import Manifest

Floats = NDArray[np.float64]
JACCARD = "object_jaccard"  # the best of any answer with each true object, mean over objects: what was published
CYTOPLASM = Relative(
    "segment/usiigaci_phase",
    "Whole cells in phase contrast at 10x (Usiigaci, Tsai et al. 2019), drawn by hand, touching and elongated; 5 test "
    "images as the authors divided them, each a group of its own, and frames of one film may stand on both sides: "
    "optimistic, and few.",
    rows=partial(of_table, image="{split}/images/{name}.png", truth="{split}/labels/{name}.tif", group="name",
                 also=("split",)),
)  # fmt: skip
ROUND = {"network": "unet:width=16:depth=3", "tile": 128, "batch": 8}
WIDE = {"network": "unet:width=16:depth=3:shrink=2", "tile": 256, "batch": 8}  # of cells that are 100 px long
ASKED: Mapping[str, tuple[str, Mapping[str, Any], Mapping[str, Figure]]] = {  # title, of the plan, published
    "nuclei": ("nuclei in fluorescence", ROUND, {JACCARD: Figure("Jaccard", ".89", "human nuclei")}),
    "cytoplasm": ("whole cells in phase contrast", WIDE,
                  {JACCARD: Figure("Jaccard", ".77/.84", "cytoplasm of NIH-3T3 / MCF10A, with a nuclear stain")}),
    "types": ("objects with types", ROUND,
              {"type_accuracy": Figure("type accuracy", "86 % / 100 %", "3T3 / MCF10A in co-culture")}),
    "bacteria": ("growing bacteria", ROUND, {JACCARD: Figure("Jaccard", ".95", "E. coli")}),
}  # fmt: skip
EVERY = Figure("Jaccard", ".95/.89/.77/.84", "bacteria, nuclei, cytoplasm of NIH-3T3 and MCF10A")
NETWORK = Arm("interior and boundary", {"decoder": "boundary"})
RODS = ("Simulated bacteria in phase contrast: films of an hour, 0.1 um a pixel, in which rods grow, divide and push "
        "one another; groups are films. Their difficulty is ours.")  # fmt: skip
FRAMES = 13  # of an hour
CELLS_A_FILM, FEWEST_FILMS = 40, 5  # of the budget's cells; a fifth of the films is tested


def run(order: Order) -> Path:
    """Learn the same three classes on every kind of object, judge outlines and types, measure growth; the page."""
    scenes, plans, findings = list[Scene](), list[Mapping[str, Any]](), list[str]()
    for problem, changes in problems(order):
        arms = [replace(arm, changes={**changes, **arm.changes}) for arm in order.budget.arms]
        answered = answer(problem, arms, order, random=False)
        scene = judge(problem, answered, order)
        if "growth" in answered.manifest.table:
            films = followed(answered.manifest)
            scene = replace(scene, grids=(rates(films),), pictures=(_curves(films),))
            findings.append(spoken(films))
        scenes.append(scene)
        plans.append(answered.plans[arms[0].name])
    facts = (
        Fact("images", "E. coli; human nuclei; NIH-3T3 and MCF10A cytoplasm", "see each section"),
        Fact("maps", "pixel classes interior, boundary, background", "pixel classes interior, boundary, background"),
        Fact("channels", "phase contrast with Hoechst beside it for cytoplasm", "one channel (H&E: colour)"),
        Fact("network", "a convolutional network on the window around a pixel",
             "; ".join(dict.fromkeys(str(plan.get("network")) for plan in plans if plan)) or "as planned"),
        Fact("types", "by nuclear markers in co-culture, learned at the same time", "a head more, in the same pass"),
        Fact("growth", "over 60 min: area, its change from frame to frame by cell (lineages)",
             "over 60 min: total area of each film, exponential or logistic fit"),
        Fact("thresholds", "", "of the decoder, chosen on the validation rows"),
        Fact("steps", "", ", ".join(dict.fromkeys(str(plan.get("steps", "as planned")) for plan in plans))),
        Fact("split", "", f"{by_group(order.budget)}; a set's own division where it has one"),
        *chosen(plans[0], order.budget),
    )  # fmt: skip
    return paper(RECIPE, order, scenes, facts, findings=findings)


def problems(order: Order) -> Iterator[tuple[Problem, Mapping[str, Any]]]:
    """Each question with what its plan needs: the user's own images, or the real sets at hand; then simulated ones."""
    relatives = {"nuclei": NUCLEI, "cytoplasm": CYTOPLASM, "types": consep(order)}
    typed = own = False
    for name, relative in relatives.items():
        title, changes, published = ASKED[name]
        source = None if own else real(order, relative, truth="labels")
        if source is not None and source.own:
            own = True
            published = {JACCARD: EVERY, **ASKED["types"][2]}
            yield Problem("real", "Your images", source.about, source.manifest, False, published), changes
        elif source is not None:
            typed = typed or name == "types"
            problem = Problem(f"real-{name}", f"Real images: {title}", source.about, source.manifest, False, published)
            yield problem, changes
    if not typed:
        title, changes, published = ASKED["types"]
        rows = fates(order, GROUPS)
        yield Problem("simulated-types", f"Simulated images: {title}", CELLS, rows, True, published), changes
    title, changes, published = ASKED["bacteria"]
    rows = bacteria(order)
    yield Problem("simulated-bacteria", f"Simulated images: {title}", RODS, rows, True, published), changes


def bacteria(order: Order) -> Manifest:
    """Films of simulated rods; the truth is their mask."""
    from potency.data.manifest import Manifest

    films, place = max(FEWEST_FILMS, order.budget.cells // CELLS_A_FILM), order.into / "simulated-bacteria"
    simulated(place, order, f"{films} films of bacteria", kind="rods", cells=3 * films, groups=films, frames=FRAMES)
    return Manifest.read(place, truth="mask")


@dataclass(frozen=True)
class Film:
    """One film that was answered: total area of its cells (share of the field) and their number, frame by frame.

    `said` and `true` are (area, number), each (frames,); `rate` is what the simulator was given, an hour.
    """

    name: str
    hours: Floats
    said: tuple[Floats, Floats]
    true: tuple[Floats, Floats]
    rate: float

    def grown(self, source: str = "said") -> Curve:
        """Its growth by total area, of the answer or of the truth."""
        return growth_rate(self.hours, (self.said if source == "said" else self.true)[0])


def followed(rows: Manifest, column: str = "prediction") -> list[Film]:
    """The films that a network answered without having seen any frame of them."""
    table = rows.table[rows.table[column].notna()]
    films = []
    for name, part in table.groupby("movie", sort=True):
        part = part.sort_values("time")
        sizes = rows.open({str(k): v for k, v in part.iloc[0].items()}).sizes
        field, areas, counts = float(sizes["Y"] * sizes["X"]), [], []
        for path, objects in zip(part[column], part[f"{column}.objects"], strict=True):
            told = Labels.table_of({"": path, "objects": objects}, rows.folder)
            areas.append(0.0 if told is None else float(told["area"].sum()) / field)
            counts.append(0 if told is None else len(told))
        true = part["area"].to_numpy(np.float64) / field, part["cells"].to_numpy(np.float64)
        said = np.array(areas), np.array(counts, np.float64)
        films.append(Film(str(name), part["time"].to_numpy(np.float64), said, true, float(part["growth"].iloc[0])))
    return films


def rates(films: list[Film]) -> Grid:
    """The growth rate of every film by answered and by true area beside the one it was given."""
    rows = []
    for film in films:
        said, true = film.grown(), film.grown("true")
        counts = [f"{count[0]:.0f} to {count[-1]:.0f}" for _, count in (film.said, film.true)]
        rows.append((film.name, _rate(said), said.model or said.why, _rate(true), f"{film.rate:.3g}", *counts))
    header = ("film", "rate by area, 1/h [95 %]", "fit", "by the true area", "given", "cells answered", "true cells")
    note = ("Intervals are those of the fit, widened for errors that follow one another; they say nothing of other "
            "films. A film of few cells that divide together need not grow at the rate that it was given.")  # fmt: skip
    return Grid("Growth of films that the network had not seen", header, tuple(rows), note)


def spoken(films: list[Film]) -> str:
    """How fast the films grew and how far that is from their truth, in words."""
    said = np.array([film.grown().rate for film in films])
    true = np.array([film.grown("true").rate for film in films])
    known = np.isfinite(said) & np.isfinite(true)
    if not known.any():
        return f"Simulated bacteria: no growth rate could be fitted to {len(films)} films."
    minutes = 60 * np.log(2) / said[known].mean() if said[known].mean() > 0 else np.nan
    doubling = f", a doubling in {minutes:.3g} min" if np.isfinite(minutes) else ""
    given = np.mean([film.rate for film in films])
    return (f"Simulated bacteria, {known.sum()} films not seen: growth rate by total area {_mean(said[known])} an hour"
            f"{doubling}; less that of the true area {_mean((said - true)[known])}; the simulator was given "
            f"{given:.3g}.").replace("-", "−")  # fmt: skip


def _mean(values: Floats) -> str:
    """A mean over films, with Student's 95 % interval where there are five at least."""
    from scipy.stats import t as student

    middle, count = float(values.mean()), len(values)
    if count < FEWEST_FILMS:
        return f"{middle:.3g} (no interval, {count} film{'s' if count > 1 else ''})"
    half = float(student.ppf(0.975, count - 1) * values.std(ddof=1) / np.sqrt(count))
    return f"{middle:.3g} [{middle - half:.3g}, {middle + half:.3g}]"


def _rate(curve: Curve) -> str:
    if not np.isfinite(curve.rate):
        return "none"
    return f"{curve.rate:.3g} [{curve.low:.3g}, {curve.high:.3g}]".replace("-", "−")


def _curves(films: list[Film]) -> Any:
    lines: dict[str, tuple[Floats, Floats]] = {}
    for film in films[:2]:
        lines |= {f"{film.name}: answered": (60 * film.hours, film.said[0]),
                  f"{film.name}: true": (60 * film.hours, film.true[0])}  # fmt: skip
    return curves("Growth of films that the network had not seen", lines, ("minutes", "share of the field"),
                  "The total area of the cells; what is answered should lie on what is true.")  # fmt: skip


QUICK = Budget("quick", (NETWORK,), rows=10, cells=200, changes={**LIGHT, "steps": 5, "validations": 1})
DEFAULT = Budget("default", (NETWORK,), rows=150, cells=1200, changes={**LIGHT, "steps": 800})
FULL = Budget("full", (NETWORK,), cells=6000, changes={**LIGHT, "precision": "float32", "steps": 20_000})

RECIPE = Recipe(
    id="deepcell",
    title="Conv-net segmentation of nuclei, cytoplasm, bacteria (Van Valen 2016)",
    area="C",
    published=(
        Figure("Jaccard", ".95 bacteria, .89 nuclei, .77/.84 cytoplasm"),
        Figure("type accuracy", "86 % / 100 %", "3T3 / MCF10A"),
    ),
    missing=(
        "growth-rate histogram and spatial map, which need single cells tracked",
        "real bacteria (simulated ones stand for them), a nuclear stain beside phase contrast, a real co-culture "
        "(types of nuclei in H&E stand for it)",
        "its default budget has not been run to the end on two cores",
    ),
    method="pixel classes interior/boundary/background; type at the same time; growth by linear-assignment lineages",
    run=run,
    budgets=(QUICK, DEFAULT, FULL),
)
