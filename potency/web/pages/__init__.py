"""The visible list of pages: each journey is one file here and one line below, in the order of the navigation."""

from __future__ import annotations

from potency.web.frame import Pages
from potency.web.pages import (
    about,
    answer,
    cells,
    correct,
    correct_mask,
    enter,
    home,
    images,
    instant,
    jobs,
    log,
    models,
    overlays,
    people,
    pieces,
    plate,
    read,
    reading,
    train,
    verbs,
    view,
)
from potency.web.paper import NAVIGATION, WORK
from potency.web.work import KINDS

__all__ = ["PAGES"]

PAGES: tuple[Pages, ...] = (
    instant.pages,  # first: pages are looked for in this order, and it answers by the hundred
    home.pages, answer.pages, cells.pages, plate.pages, train.pages, correct.pages, correct_mask.pages, reading.pages,
    read.pages, images.pages, view.pages, overlays.pages, jobs.pages, models.pages, people.pages, log.pages,
    about.pages, enter.pages, verbs.pages, pieces.pages,
)  # fmt: skip
WORK.update((name, kind.title) for name, kind in KINDS.items())
NAVIGATION[:] = [entry for pages in PAGES for entry in pages.navigation]
