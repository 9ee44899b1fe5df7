"""The figures of a reader study that is too large for a page to wait for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from potency.web.figures import made
from potency.web.jobs import Job
from potency.web.studies import Studies
from potency.web.work.kind import Kind, Order


def run(order: Order) -> Mapping[str, Any]:
    """Judge the study as it stands; the figures are kept with it."""
    studies = Studies(order.store, order.owner)
    study = studies.find(order.arguments["study"])
    order.progress(0, 0, "working out the figures")
    found = made(studies, study, order.step("working out the figures"))
    return {"study": study.id, "verdict": found.verdict}


def place(job: Job) -> str:
    return f"/reading/{job.arguments['study']}/results"


KIND = Kind("figures", "Reader study: figures", "work/figures.html", run, place=place)
