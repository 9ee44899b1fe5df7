"""The verbs as jobs for scripts: `POST /verbs/{verb}.json` with a set, a model, options; `potency.Client` asks so."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import Form

from potency.errors import PlanError
from potency.web.faults import Refused
from potency.web.frame import Here, Pages
from potency.web.jobs import Job
from potency.web.work.verbs import VERBS

pages = Pages()


@pages.action("/verbs/{verb}", then=lambda job: f"/jobs/{job.id}", role="reader")
def ask(
    visit: Here,
    verb: str,
    set: Annotated[str, Form()],
    model: Annotated[str, Form()] = "",
    options: Annotated[str, Form(max_length=100_000)] = "{}",
) -> Job:
    """Put predict, explain, measure, evaluate or train in line for a set; `options` is a JSON object."""
    if verb not in VERBS:
        raise Refused(404, "there is no such verb", verb[:40], "one of " + ", ".join(VERBS))
    asked = VERBS[verb]
    if not visit.person.may(asked.role):
        raise Refused(403, f"this takes the role {asked.role}, you are {visit.person.role}", "your account",
                      "ask who runs this page")  # fmt: skip
    title = visit.sets.find(set).title
    if asked.model and not model:
        raise PlanError(f"{verb} takes a model", "model", "name one that /models.json lists")
    if model:
        visit.shelf.find(model)
    return visit.ask(f"verb.{verb}", title, model, set=set, options=asked.chosen(_read(options)))


def _read(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise PlanError("options are no JSON object", "options", 'write them like {"name": "prediction"}')
    return found
