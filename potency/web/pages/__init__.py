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
    jobs,
    log,
    models,
    people,
    plate,
    read,
    reading,
    train,
    view,
)
from potency.web.paper import NAVIGATION

__all__ = ["PAGES"]

PAGES: tuple[Pages, ...] = (
    home.pages, answer.pages, images.pages, jobs.pages, models.pages, about.pages, enter.pages, people.pages, log.pages, train.pages, plate.pages, reading.pages, read.pages, cells.pages, view.pages, correct.pages, correct_mask.pages,
)  # fmt: skip
NAVIGATION[:] = [entry for pages in PAGES for entry in pages.navigation]
