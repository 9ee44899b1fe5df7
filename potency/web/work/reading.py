"""The work after a reader study: the report as one page that needs no server, and all answers as tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from potency.web.studies import Studies
from potency.web.tally import findings, settings_of, sheet_of_answers, titled
from potency.web.work.kind import Kind, Order


def run(order: Order) -> Mapping[str, Any]:
    """Judge the study and write its report."""
    from PIL import Image

    from potency.evaluation.gallery import embedded
    from potency.evaluation.page import plain
    from potency.evaluation.panel_page import page, verdict

    studies = Studies(order.store, order.owner)
    study = studies.find(order.arguments["study"])
    order.progress(0, 0, "working out the figures")
    found = findings(studies, study, studies.answers(study.id), order.step("working out the figures"))
    numbers = {row["row"]: row["number"] for row in studies.images(study.id)}

    def picture(row: str) -> str:
        path = studies.picture(study.id, numbers[row])
        if not path.is_file():
            return ""
        with Image.open(path) as shown:
            shown.thumbnail((224, 224))
            return embedded(shown)

    facts = {"title": study.title, "subtitle": titled(study), "simulated": study.facts.get("simulated"),
             "settings": settings_of(study), "names": {row: row for row in numbers}}  # fmt: skip
    (order.folder / "report.html").write_text(page(found, facts, picture), "utf-8")
    (order.folder / "answers.csv").write_text("".join(sheet_of_answers(studies, study)), "utf-8")
    text = json.dumps(plain(asdict(found)), ensure_ascii=False, indent=1, allow_nan=False)
    (order.folder / "findings.json").write_text(text, "utf-8")
    return {"study": study.id, "verdict": verdict(found)}


KIND = Kind("reading", "Reader study: report", "work/reading.html", run)
