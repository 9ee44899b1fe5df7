"""The answers of a job as pages show them: kept in its folder as they come, counted, filtered, put in order."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from potency.data.whole import replaced

FEWEST = 6  # images that say something together
FILE, TABLE = "answers.json", "answers.csv"
METHODS: Mapping[str, str] = {  # of maps, in words for people; names of `potency.explanation.METHODS`
    "relevance": "what speaks for the class, pixel by pixel (layer-wise relevance propagation)",
    "integrated": "gradients on the way from an empty image",
    "grad-cam": "coarse: where the last layer of the network looks",
    "occlusion": "what is lost when a block is hidden; slow",
}


@dataclass(frozen=True)
class Near:
    """A training image beside a new one: its number in the bundle's gallery, truth, group, cosine, picture."""

    number: int
    label: str
    group: str
    similarity: float
    picture: str


@dataclass(frozen=True)
class Map:
    """What the model looked at in an image.

    Attributes:
        picture: file of the job's folder; "" where none could be drawn, and `fails` says why.
        label: the class it explains.
        says: how it did in its tests, in words.
        fails: which of them it fails; where it fails one it is not to be believed.
        numbers: the figures behind the words (deletion, insertion, stability, likeness, input).
        values: file of the job's folder with the map itself, from -1 to 1, which the viewer lays over the image; "" for
            none.
    """

    picture: str
    label: str
    method: str
    says: list[str] = field(default_factory=list)
    fails: list[str] = field(default_factory=list)
    numbers: dict[str, float] = field(default_factory=dict)
    values: str = ""


@dataclass(frozen=True)
class Row:
    """The answer to one image.

    Attributes:
        file: its id in the set.
        set: the classes that hold the right one in about nine of ten images like those learned from; [] without one.
        unlike: whether it is unlike all that the model learned from; None where the model cannot tell.
        value: the answer of a model that names no class but a number; None of others.
        part: which plane, time and channel of a stack or movie it is about, in words; "" of an image that has but one.
        learned: whether the model has learned from this very file.
        rarity: 2 is one known image in a hundred, 3 one in a thousand.
        undecided: whether more than one class is in the set.
        error: what is wrong and how to mend it, where there is no answer.
    """

    file: str
    name: str
    answer: str = ""
    probability: float | None = None
    probabilities: dict[str, float | None] = field(default_factory=dict)
    set: list[str] = field(default_factory=list)
    unlike: bool | None = None
    rarity: float | None = None
    undecided: bool = False
    error: dict[str, str] = field(default_factory=dict)
    nearest: list[Near] = field(default_factory=list)
    map: Map | None = None
    value: float | None = None
    part: str = ""
    learned: bool = False

    @property
    def clear(self) -> bool:
        """Whether its class may be read: it has one, and the image is like those learned from."""
        return not self.error and self.unlike is not True


@dataclass(frozen=True)
class Counts:
    """How many images there are of each kind. `classes` leaves out those that are unlike what was learned."""

    all: int
    classes: dict[str, int]
    unlike: int
    undecided: int
    errors: int


@dataclass(frozen=True)
class Found:
    """All answers of a job.

    Attributes:
        classes: of the model, in its order.
        knows: whether the model can tell that an image is unlike what it learned.
        sets: whether it gives sets of classes.
        gallery: how many training images it could lay beside; 0 where it keeps none.
        engine: what computed the answers.
    """

    rows: list[Row]
    classes: list[str]
    knows: bool
    sets: bool
    gallery: int
    engine: str

    @property
    def counts(self) -> Counts:
        clear = [row for row in self.rows if row.clear]
        return Counts(
            len(self.rows), {name: sum(row.answer == name for row in clear) for name in self.classes},
            sum(row.unlike is True for row in self.rows), sum(row.undecided for row in clear),
            sum(bool(row.error) for row in self.rows),
        )  # fmt: skip

    @property
    def learned(self) -> int:
        """Of how many images the model has learned."""
        return sum(row.learned for row in self.rows)

    @property
    def strange(self) -> bool:
        """Whether the images taken together lie farther out than known images do, though each alone may pass.

        Of known images one in ten is in the outer tenth; where half of some images are, they were made in another way.
        """
        seen = sorted(row.rarity for row in self.rows if row.rarity is not None)
        return len(seen) >= FEWEST and seen[(len(seen) - 1) // 2] >= 1.0

    def write(self, folder: Path) -> None:
        """Keep them in the folder of the job, whole or not at all, with the table that people take away.

        The table first: who sees the answers may ask for it at once.
        """
        _table(self, folder / TABLE)
        replaced(folder / FILE, json.dumps(asdict(self), ensure_ascii=False))


def read(folder: Path) -> Found | None:
    """The answers in the folder of a job, with the maps that there are by now; None before there are any."""
    try:
        found = _answers(folder / FILE, _stamp(folder / FILE))
    except OSError:
        return None
    maps = maps_of(folder)
    rows = [replace(row, map=maps[row.file]) if row.file in maps else row for row in found.rows]
    return replace(found, rows=rows)


def maps_of(folder: Path) -> dict[str, Map]:
    """The maps of a job by the id of their image; of several methods the one that was asked for last."""
    found: dict[str, Map] = {}
    for path in sorted(folder.glob("maps-*.json"), key=_stamp):
        found |= _maps(path, _stamp(path))
    return found


def _stamp(path: Path) -> int:
    return path.stat().st_mtime_ns


# A page of thousands of answers is asked for every other second while maps are drawn: it is parsed when it changes.
@lru_cache(maxsize=16)
def _answers(path: Path, stamp: int) -> Found:
    told = json.loads(path.read_text("utf-8"))
    rows = [Row(**{**row, "nearest": [Near(**one) for one in row["nearest"]], "map": None}) for row in told["rows"]]
    return Found(**{**told, "rows": rows})


@lru_cache(maxsize=32)
def _maps(path: Path, stamp: int) -> dict[str, Map]:
    return {file: Map(**told) for file, told in json.loads(path.read_text("utf-8")).items()}


def write_maps(folder: Path, method: str, maps: Mapping[str, Map]) -> None:
    """Keep the maps of a method, beside those of others."""
    replaced(folder / f"maps-{method}.json", json.dumps({file: asdict(one) for file, one in maps.items()}))


ORDERS: Mapping[str, tuple[str, Callable[[Row], Any]]] = {
    "given": ("as given", lambda row: 0),
    "doubt": ("least sure first", lambda row: -1.0 if row.error else row.probability or 0.0),
    "sure": ("surest first", lambda row: 2.0 if row.error else -(row.probability or 0.0)),
    "rare": ("most unlike first", lambda row: 2.0 if row.rarity is None else -row.rarity),
    "low": ("smallest first", lambda row: (row.value is None, row.value or 0.0)),
    "high": ("largest first", lambda row: (row.value is None, -(row.value or 0.0))),
    "class": ("by class", lambda row: (not row.clear, bool(row.error), row.answer)),
    "name": ("by name", lambda row: row.name.casefold()),
}
OF_CLASSES, OF_NUMBERS = ("doubt", "sure", "class"), ("low", "high")  # orders that only these have
SHOWN: Mapping[str, Callable[[Row], bool]] = {
    "all": lambda row: True,
    "unlike": lambda row: row.unlike is True,
    "undecided": lambda row: row.undecided and row.clear,
    "errors": lambda row: bool(row.error),
}


def chosen(rows: Iterable[Row], show: str = "all", label: str = "", order: str = "given") -> list[Row]:
    """The rows of a kind (`SHOWN`) and of a class ("": of all), in an order (`ORDERS`); an unknown word is the first.

    >>> rows = [Row("1", "b.png", "G1", 0.6), Row("2", "a.png", "G2", 0.9), Row("3", "c.png", error={"what": "torn"})]
    >>> [row.name for row in chosen(rows, order="name")], [row.name for row in chosen(rows, "errors")]
    (['a.png', 'b.png', 'c.png'], ['c.png'])
    """
    keep = SHOWN.get(show, SHOWN["all"])
    found = [row for row in rows if keep(row) and (not label or (row.answer == label and row.clear))]
    return sorted(found, key=ORDERS.get(order, ORDERS["given"])[1])


def _table(found: Found, path: Path) -> None:
    """The table that people take away: names as they were given, no place on this machine."""
    import pandas as pd

    from potency.data.tables import write_table

    rows = [
        {"file": row.name, "part": row.part or None, "answer": (row.answer or None) if row.value is None else row.value,
         "probability": row.probability,
         **{f"probability.{name}": row.probabilities.get(name) for name in found.classes},
         "set": " | ".join(row.set) or None, "unlike": row.unlike, "rarity": row.rarity,
         "undecided": None if row.error else row.undecided, "learned": row.learned,
         "nearest": "; ".join(near.label for near in row.nearest) or None,
         "error": "; ".join(row.error.values()) or None}
        for row in found.rows
    ]  # fmt: skip
    write_table(pd.DataFrame(rows), path, {})


def often(rarity: float | None) -> str:
    """How often an image of the kind that was learned is as unusual as this one, in words.

    >>> often(0.3), often(2.0), often(3.52), often(9.0)
    ('about 1 in 2', 'about 1 in 100', 'about 1 in 3,300', 'fewer than 1 in 10,000')
    """
    if rarity is None:
        return ""
    if rarity > 4:
        return "fewer than 1 in 10,000"
    count = 10**rarity
    step = 1 if count < 20 else 10 if count < 200 else 100
    return f"about 1 in {max(1, round(count / step) * step):,}"


def words(names: Sequence[str], last: str = "and") -> str:
    """Names as they stand in a sentence.

    >>> words(["G1", "S", "G2"]), words(["G1"]), words([])
    ('G1, S and G2', 'G1', '')
    """
    return f" {last} ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)
