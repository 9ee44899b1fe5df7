"""The first page: what can be done here, and what was done last."""

from __future__ import annotations

from dataclasses import dataclass

from potency.web.frame import Here, Pages
from potency.web.jobs import Job
from potency.web.sets import ImageSet
from potency.web.shelf import Model

pages = Pages()
LAST = 5


@dataclass(frozen=True)
class Home:
    """What a visitor has here: their last images and jobs, and the models to choose from."""

    sets: list[ImageSet]
    jobs: list[Job]
    models: list[Model]


@pages.page("/", "home.html")
def home(visit: Here) -> Home:
    """The start page."""
    return Home(visit.sets.all()[:LAST], visit.jobs.of(visit.person.id, most=LAST), visit.shelf.all())
