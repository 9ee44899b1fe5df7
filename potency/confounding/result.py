"""What an audit found: its rows, the faults of the design, and the verdict, as text, JSON and a page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from potency.confounding.forest import Curve, Gap
from potency.confounding.rules import LABEL, RULES, Fault, Row, verdict, worst
from potency.errors import PotencyError
from potency.evaluation.page import plain
from potency.evaluation.subgroups import Subgroups
from potency.evaluation.tables import Table
from potency.evaluation.wording import chance

ASKED = {LABEL: "tells the label?", "embedding": "can be read from the embedding?"}


@dataclass(frozen=True)
class Audit:
    """Rows (one a suspect and question), faults of the design, why other columns are no suspects, and the rest.

    `gap`, `curve` and `subgroups` are there where they were asked for and could be made.
    """

    rows: tuple[Row, ...]
    faults: tuple[Fault, ...] = ()
    left: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    gap: Gap | None = None
    curve: Curve | None = None
    subgroups: tuple[Subgroups, ...] = ()

    @property
    def mark(self) -> str:
        """The gravest outcome: "bad", "caution", "unknown" or "good"."""
        tested = [row.mark for row in self.rows if row.family is not None]
        return worst([*tested, *(fault.mark for fault in self.faults)])

    @property
    def verdict(self) -> str:
        """The whole audit in a few plain sentences."""
        return verdict(self.rows, self.faults)

    @property
    def lines(self) -> tuple[str, ...]:
        """What else must be known, a sentence each: faults and their mend, suspicions, gap, curve, subgroups."""
        told = [f"{fault.what[:1].upper()}{fault.what[1:]}. {fault.mend[:1].upper()}{fault.mend[1:]}."
                for fault in self.faults]  # fmt: skip
        told += [f"{row.suspect}: {row.told}." for row in self.rows if row.rule not in ("nothing", "untested")]
        told += [part.told for part in (self.gap, self.curve) if part is not None]
        told += [_gap_told(found) for found in sorted(self.subgroups, key=lambda found: -found.gap.value)]
        if self.facts.get("unread"):
            told.append(f"{self.facts['unread']} pictures could not be read and are left out of what was measured.")
        return tuple(told)

    def tables(self) -> dict[str, Table]:
        """The tables by heading."""
        made = {}
        for asked, title in ASKED.items():
            rows = tuple(_cells(row) for row in self.rows if row.asked == asked)
            if rows:
                made[f"What {title}"] = Table(("suspect", "asked", "pairs in order", "p", "p of all", "outcome"), rows)
        for found in self.subgroups:
            cells = tuple((p.value, f"{p.rows:,}", f"{p.groups:,}", str(p.figure)) for p in found.parts)
            head = (found.column, "images", "groups", found.metric)
            made[f"By {found.column}"] = Table(head, cells, _gap_told(found))
        if self.curve is not None:
            points = tuple((p.arm, f"{p.groups}", f"{p.images:,}", str(p.figure)) for p in self.curve.points)
            head = ("what grows", "groups", "images", self.curve.metric)
            made["More groups or more images?"] = Table(head, points, self.curve.told)
        if self.left:
            made["Columns that are no suspects"] = Table(("column", "why"), tuple(self.left.items()))
        made["The rules"] = Table(("outcome", "when", "what it means"),
                                  tuple((f"{r.mark}: {r.code}", r.when, r.said) for r in RULES))  # fmt: skip
        return made

    def facts_of_report(self) -> dict[str, Any]:
        """What the report of a training says of it (`report.facts["audit"]`)."""
        return {"verdict": self.verdict, "mark": self.mark, "lines": list(self.lines)}

    def json(self) -> dict[str, Any]:
        """All of it as plain data."""
        return dict(plain({
            "verdict": self.verdict, "mark": self.mark, "lines": self.lines,
            "rows": [{**asdict(row), "mark": row.mark} for row in self.rows],
            "design": [{**asdict(fault), "mark": fault.mark} for fault in self.faults],
            "left": self.left, "facts": self.facts,
            "gap": None if self.gap is None else asdict(self.gap),
            "curve": None if self.curve is None else asdict(self.curve),
            "subgroups": [asdict(found) for found in self.subgroups],
            "rules": [asdict(rule) for rule in RULES],
        }))  # fmt: skip

    def markdown(self) -> str:
        """The audit in words and tables."""
        parts = ["# Confounder audit", f"**{self.verdict}**", "\n".join(f"- {line}" for line in self.lines)]
        for heading, table in self.tables().items():
            parts += [f"## {heading}", table.markdown(), table.note]
        return "\n\n".join(part.replace("<", "\\<") for part in parts if part) + "\n"

    def write(self, folder: Path | str) -> Path:
        """Write `audit.html` and `audit.json` into the folder, each whole or not at all; the page's path.

        Raises PotencyError where the folder cannot be written.
        """
        from potency.confounding.page import page
        from potency.data.whole import replaced

        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            text = json.dumps(self.json(), ensure_ascii=False, indent=1, allow_nan=False)
            replaced(folder / "audit.json", (text + "\n").encode())
            replaced(folder / "audit.html", page(self).encode())
        except OSError as error:
            raise PotencyError(f"the audit cannot be written: {error.strerror or error}", str(folder),
                               "free some space, or choose a folder that can be written to") from error  # fmt: skip
        return folder / "audit.html"


def _cells(row: Row) -> tuple[str, ...]:
    pairs = "" if row.pairs is None else str(row.pairs)
    return row.suspect, row.level or "not", pairs, chance(row.p), chance(row.family), f"{row.mark}: {row.told}"


def _gap_told(found: Subgroups) -> str:
    sure = chance(found.p) if found.p is not None else found.untested
    return f"{found.column}: largest gap {found.gap} in {found.metric}, {found.best} above {found.worst} ({sure})."
