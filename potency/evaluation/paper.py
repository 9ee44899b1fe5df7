"""Prints pages from their templates: one head, style and opening for the report and for the page of every verb."""

from __future__ import annotations

from importlib import resources
from typing import Any

from potency import __version__
from potency.evaluation import trust

ABSENT = {"verdict": "", "mark": ""}  # of the opening, where a page has none


def printed(template: str, *, simulated: bool = False, **parts: Any) -> str:
    """A page as one self-contained text.

    Args:
        template: of this package by its path, "timing/early.html"; it extends "evaluation/base.html", and tables,
            plots and walls of images are macros of "evaluation/parts.html".
        simulated: whether a program drew the images, which the first banner then says.
        parts: what the template names. The opening shows `title`, `subtitle`, `banners`, and `verdict` with its `mark`.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    home = resources.files("potency")
    paper = Environment(
        loader=FunctionLoader(lambda name: home.joinpath(name).read_text("utf-8")), autoescape=True,
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    style = home.joinpath("evaluation/page.css").read_text("utf-8")
    paper.globals |= {"style": style, "marks": trust.MARKS, "version": __version__}
    parts["banners"] = [*([trust.SIMULATED] if simulated else []), *parts.get("banners", ())]
    return paper.get_template(template).render(ABSENT | parts)
