"""What people say of the images that networks were tested on: the page they read, their answers beside those."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from potency.systems.arms import Answered, Problem
from potency.systems.comparison import Sheet

if TYPE_CHECKING:
    from potency.systems.recipe import Order

READ = 200  # images that people are asked about


def read(problem: Problem, answered: Answered, order: Order, more: str = "") -> tuple[Answered, Sheet, list[Path]]:
    """The page for people, their answers where there are some (a column each, by the name of the file), and the files.

    `more` is said on the sheet after what every reader must know.
    """
    from potency.evaluation.reading import joined, page

    place = order.into / f"{problem.name}-reader"
    place.mkdir(parents=True, exist_ok=True)
    tested = answered.manifest.where(answered.manifest.table["prediction"].notna())
    (place / "reader.html").write_text(page(tested, images=READ), encoding="utf-8")
    found = sorted(place.glob("*.csv"))
    if found:
        people = joined(tested, found)
        columns = [f"prediction@{path.stem}" for path in found]
        rows = answered.manifest.add(people.table[["id", *columns]])
        names = {**answered.names, **{c: f"a person ({c.partition('@')[2]})" for c in columns}}
        answered = replace(answered, manifest=rows, names=names)
    people_said = f"{len(found)} people have answered" if found else "Nobody has answered yet, so there is no figure"
    about = (f"{people_said}. The page shows at most {READ} of the images that the networks were tested on, in random "
             f"order and without names; a reader presses a digit for each. Put the file it downloads into {place.name}/"
             " and run the same command again: the reader stands in the table of these images then. A reader study of "
             "`potency serve` gives the same file for each reader of the same folder." + more)  # fmt: skip
    return answered, Sheet(f"{problem.name}-people", f"{problem.title}: people", about, problem.simulated,
                           links=((f"{place.name}/reader.html", "Read the images"),)), found  # fmt: skip
