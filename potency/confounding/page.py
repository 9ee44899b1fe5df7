"""Lays an audit out as one self-contained page, in the style of the report."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

from potency.evaluation import trust, wording

if TYPE_CHECKING:
    from potency.confounding.result import Audit

TITLE = "Confounder audit"


def page(audit: Audit) -> str:
    """The whole page as text: the verdict first, then what it rests on, then the rules it follows."""
    from jinja2 import Environment, StrictUndefined

    from potency.confounding.drawing import learning_curve

    paper = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    text = (resources.files("potency.confounding") / "audit.html").read_text("utf-8")
    facts = audit.facts
    size = [wording.count(int(facts[name]), noun) for name, noun in (("rows", "image"), ("groups", "group"))
            if facts.get(name)]  # fmt: skip
    drawn = f"{facts.get('draws', 0):,} exchanges of whole groups"
    return paper.from_string(text).render(
        title=TITLE, subtitle=" · ".join([*size, drawn]), verdict=audit.verdict, mark=audit.mark,
        sign=trust.MARKS[audit.mark], lines=audit.lines, tables=audit.tables(),
        banner="Simulated images: nothing here was seen under a microscope" if facts.get("simulated") else "",
        plots=[] if audit.curve is None else [learning_curve(audit.curve)],
        style=(resources.files("potency.evaluation") / "page.css").read_text("utf-8"),
    )  # fmt: skip
