"""Example images for a first visit, drawn by the simulator, and called simulated wherever they are shown."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from potency.web.faults import Refused

if TYPE_CHECKING:
    from potency.web.intake import Intake, Taken


@dataclass(frozen=True)
class Example:
    """Images that can be drawn: for which journey, and by which world of the simulator."""

    title: str
    kind: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    table: bool = False  # whether its table of labels, wells and groups comes along


@dataclass(frozen=True)
class Drawn:
    """A picture of the simulator as an upload."""

    filename: str
    file: IO[bytes]
    drawn: bool = True  # by this program: whoever may not bring images may have these


EXAMPLES: Mapping[str, Example] = {
    "media": Example("24 neural stem cells from four media, brightfield (simulated)", "crops",
                     {"look": "brightfield", "cells": 24, "groups": 4, "wells": 3, "seed": 11}),
    "phase": Example("24 cells, pluripotent or differentiating, phase contrast (simulated)", "crops",
                     {"look": "phase", "cells": 24, "groups": 4, "wells": 3, "seed": 12}),
    "lesson": Example("120 cells of two kinds from six clones, with their labels (simulated)", "crops",
                      {"look": "phase", "classes": 2, "cells": 120, "groups": 6, "wells": 2, "size": 32, "seed": 3},
                      table=True),
    "plates": Example("Two plates of 60 wells, phase contrast (simulated)", "wells",
                      {"look": "phase", "cells": 600, "groups": 2, "wells": 60, "field": 64, "seed": 5}, table=True),
    "nuclei": Example("4 fields of stained cells, nuclei and three markers, fluorescence (simulated)", "fields",
                      {"look": "fluorescence", "cells": 240, "groups": 2, "wells": 2, "seed": 5}),
}  # fmt: skip


def drawn(name: str, intake: Intake) -> Taken:
    """Draw an example and keep it as a set.

    Raises:
        Refused: there is no such example.
    """
    from potency.simulate import simulate

    if name not in EXAMPLES:
        raise Refused(404, "there is no such example", name[:40], "the list of images names those that are there")
    example = EXAMPLES[name]
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="potency-"))) / name
        manifest = simulate(place, kind=example.kind, **example.settings)
        files = [path for row in manifest.records() for path in manifest.paths(row).values()]
        files += [place / "labels.csv"] if example.table else []
        uploads = [Drawn(path.relative_to(place).as_posix(), stack.enter_context(path.open("rb"))) for path in files]
        taken = intake.take(uploads, example.title)
    intake.sets.remember(taken.set, simulated=True, example=name)
    return taken
