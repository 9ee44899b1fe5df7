"""The recipe frame: what a published system claims, what of it runs here, and every value we had to choose."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pandas as pd

    from potency.data.manifest import Manifest

AREAS: Mapping[str, str] = {
    "A": "stem-cell fate and quality from label-free images",
    "B": "cell state and phenotype classification",
    "C": "segmentation, detection, counting",
    "D": "tissue biomarkers",
    "E": "augmented microscopy and synthesis",
    "F": "tracking and outcome",
}
PUBLISHED, OURS = "published", "our choice"


@dataclass(frozen=True)
class Figure:
    """One published figure: what was measured, the value as printed there, and where it is stated."""

    metric: str
    value: str
    stated: str = ""

    def __str__(self) -> str:
        return f"{self.metric} {self.value}" + (f" ({self.stated})" if self.stated else "")


@dataclass(frozen=True)
class Fact:
    """One value of the protocol: what was published, what is used here, and whether that is theirs or our choice.

    >>> Fact("split", "random 80/20", "random 80/20").mark
    'published'
    >>> Fact("batch", "", "64").mark
    'our choice'
    """

    what: str
    published: str  # empty: not stated anywhere we could read
    here: str

    @property
    def mark(self) -> str:
        return PUBLISHED if self.published and self.published == self.here else OURS


@dataclass(frozen=True)
class Arm:
    """One learner of a comparison: how the page calls it, and the decisions of the plan that make it."""

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)  # of the plan, by name
    passes: float = 0  # over the learning rows; 0: as the budget says
    trials: int = 0  # of a search for its settings, inside the learning rows of each fold; 0: none
    start: str = ""  # folder of a bundle that it goes on from


@dataclass(frozen=True)
class Asked:
    """One training that a recipe asks for."""

    changes: Mapping[str, Any] = field(default_factory=dict)  # of the plan, by name
    passes: float = 0  # over the learning rows; 0: the steps that the plan computes
    folds: int = 5
    holdout: bool = True  # one fold of them only: 5 folds and a holdout are an 80/20 split
    random: bool = True  # the same learner under a random split too, as so much is published
    baselines: tuple[str, ...] = ()
    trials: int = 0  # of a search for its settings
    start: str = ""  # folder of a bundle to go on from (fine-tuning)
    title: str = ""
    arm: str = ""  # what is said before it starts


@dataclass(frozen=True)
class Learned:
    """What a training gives a recipe: rows with `id` and the answers of models that had not seen them, and facts.

    Columns are named as everywhere: `prediction`, `prediction@random`, `prediction@forest`, `prediction@forest-random`.
    """

    rows: pd.DataFrame
    facts: Mapping[str, Any]


class Learn(Protocol):
    """How a recipe learns: the one seam between recipes and the protocol of `potency.learning`."""

    def __call__(self, manifest: Manifest, asked: Asked, into: Path, say: Callable[[str], None]) -> Learned: ...


@dataclass(frozen=True)
class Budget:
    """How much a run may cost: the arms in the order of the page (the first is compared with the rest), rows, passes.

    "quick" shows that the way runs (five minutes on two cores), "default" learns what two cores can in an hour and a
    half, "full" is the published budget.
    """

    name: str
    arms: tuple[Arm, ...]
    rows: int = 0  # at most, of real images; 0: all
    cells: int = 0  # simulated
    passes: float = 0  # of each arm over its learning rows; 0: as the plan computes them
    folds: int = 5
    holdout: bool = True
    changes: Mapping[str, Any] = field(default_factory=dict)  # of every plan, by name


@dataclass(frozen=True)
class Order:
    """All that a recipe's run is given."""

    into: Path
    data: Path | None
    budget: Budget
    learn: Learn
    say: Callable[[str], None]

    def command(self, id: str) -> str:
        """The command that gives this order."""
        budget = "" if self.budget.name == "default" else f" --{self.budget.name}"
        return f"potency reproduce {id}{budget}" + (f" --data {self.data}" if self.data else "")


@dataclass(frozen=True)
class Recipe:
    """One published system by its stable id.

    `missing` names what of its row does not run yet; `run` does what runs and returns the path of its report.html.
    """

    id: str
    title: str
    area: str
    published: tuple[Figure, ...] = ()
    missing: tuple[str, ...] = ()
    method: str = ""
    run: Callable[[Order], Path] | None = None
    budgets: tuple[Budget, ...] = ()

    @property
    def status(self) -> str:
        """`built` runs its whole row, `partial` runs and names what is missing, `planned` does not run."""
        if self.run is None:
            return "planned"
        return "partial" if self.missing else "built"

    def json(self) -> dict[str, Any]:
        """The recipe as the list prints it."""
        return {
            "id": self.id,
            "title": self.title,
            "status": self.status,
            "missing": list(self.missing),
            "area": self.area,
            "published": told(self.published),
        }


def told(figures: Sequence[Figure]) -> str:
    """Published figures as one line; a dash where there are none."""
    return "; ".join(map(str, figures)) or "-"


def row(id_: str, title: str, method: str, published: Sequence[tuple[str, str, str]] = (), *missing: str) -> Recipe:
    """A planned system: its area is filled in by the list it stands in."""
    return Recipe(id_, title, "", tuple(Figure(*figure) for figure in published), tuple(missing), method)
