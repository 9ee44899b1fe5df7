"""What this tool is, how its figures are made, and what it must not be used for."""

from __future__ import annotations

from dataclasses import dataclass

from potency import __version__
from potency.web.frame import Here, Pages
from potency.web.shelf import Model

pages = Pages(("About", "/about"))


@dataclass(frozen=True)
class About:
    """The version of the program, and the models that have a page of their own."""

    potency: str
    models: list[Model]


@pages.page("/about", "about.html")
def about(visit: Here) -> About:
    """The page about the tool."""
    return About(__version__, visit.shelf.all())
