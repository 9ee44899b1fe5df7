"""Lays an audit out as one self-contained page, in the style of the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from potency.evaluation import wording
from potency.evaluation.paper import printed

if TYPE_CHECKING:
    from potency.confounding.result import Audit

TITLE = "Confounder audit"


def page(audit: Audit) -> str:
    """The whole page as text: the verdict first, then what it rests on, then the rules it follows."""
    from potency.confounding.drawing import learning_curve

    facts = audit.facts
    size = [wording.count(int(facts[name]), noun) for name, noun in (("rows", "image"), ("groups", "group"))
            if facts.get(name)]  # fmt: skip
    drawn = f"{facts.get('draws', 0):,} exchanges of whole groups"
    return printed(
        "confounding/audit.html", title=TITLE, subtitle=" · ".join([*size, drawn]), verdict=audit.verdict,
        mark=audit.mark, lines=audit.lines, tables=audit.tables(), simulated=bool(facts.get("simulated")),
        plots=[] if audit.curve is None else [learning_curve(audit.curve)],
    )  # fmt: skip
