"""A reader study as it is asked for: checked, and turned into the images that are shown and the facts of the study."""

from __future__ import annotations

import hashlib
from typing import Any

from pydantic import BaseModel, Field

from potency.errors import PotencyError
from potency.web.sets import Sets
from potency.web.shelf import Shelf
from potency.web.truths import NAMES, grouped, rows_of, values

KEYS = 9
MOST = 2000  # images of one study
KINDS = ("class", "number")


class Asked(BaseModel):
    """The form of a new study; an empty field is what stands here."""

    set: str = Field(max_length=40)
    title: str = Field("", max_length=200)
    kind: str = "class"
    truth: str = Field("", max_length=300)
    classes: str = Field("", max_length=1000)
    unit: str = Field("", max_length=20)
    low: float | None = None
    high: float | None = None
    group: str = Field("", max_length=300)
    images: int = Field(0, ge=0, le=MOST)
    twice: int = Field(0, ge=0, le=MOST)
    rounds: int = Field(1, ge=1, le=2)
    washout: float = Field(0, ge=0, le=3650)
    model: str = Field("", max_length=100)
    maps: bool = False
    confidence: bool = False


def planned(asked: Asked, sets: Sets, shelf: Shelf) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The facts of a study and its images in the order of their drawing.

    Images are drawn as `potency reader` draws them. Without a truth readers can be compared with each other only.

    Raises:
        PotencyError: no or odd classes, no images left, a model that answers something else.
    """
    from potency.evaluation.reading import drawn

    if asked.kind not in KINDS:
        raise PotencyError("there is no such kind of answer", "the answer", "choose a class or a number")
    told = values(sets, asked.set, asked.truth) if asked.truth else {}
    classes = _classes(asked)
    truth = {id: _true(cell, classes) for id, cell in told.items()}
    rows = {id: row for id, row in rows_of(sets, asked.set).items() if not told or truth.get(id) is not None}
    if len(rows) < 2:
        what = "no image has one of these classes" if told and classes else "there are under two images to show"
        raise PotencyError(what, sets.find(asked.set).title,
                           "name the classes as the labels do, or choose other images")  # fmt: skip
    groups, how = _groups(asked, sets, told)
    keys = list(rows)
    chosen = [keys[at] for at in drawn(len(keys), min(asked.images, MOST) or MOST)]
    images = [{"file": id, "name": rows[id][0].name, "row": rows[id][1], "truth": truth.get(id),
               "group": groups.get(id)} for id in chosen]  # fmt: skip
    facts = {
        "asked": hashlib.sha256(asked.model_dump_json().encode()).hexdigest()[:16],
        "set": asked.set, "classes": list(classes), "unit": asked.unit.strip(), "low": asked.low, "high": asked.high,
        "twice": min(asked.twice, len(images)), "rounds": asked.rounds, "confidence": asked.confidence,
        "washout": asked.washout if asked.rounds > 1 else 0, "truths": asked.truth.partition(":")[2] or asked.truth,
        "groups": how, "simulated": bool(sets.find(asked.set).facts.get("simulated")),
        "left_out": len(rows_of(sets, asked.set)) - len(rows), **_model(asked, shelf, classes),
    }  # fmt: skip
    return facts, images


def _classes(asked: Asked) -> tuple[str, ...]:
    if asked.kind == "number":
        if asked.low is not None and asked.high is not None and asked.low >= asked.high:
            raise PotencyError("the lowest number is not below the highest", "the answer",
                               "give them the other way round")  # fmt: skip
        return ()
    names = tuple(dict.fromkeys(name.strip() for name in asked.classes.replace("\n", ",").split(",") if name.strip()))
    if not 2 <= len(names) <= KEYS:
        raise PotencyError(f"{len(names)} classes cannot be read by the keys 1 to {KEYS}", "the classes",
                           "name two to nine, with commas between them")  # fmt: skip
    if long := [name for name in names if len(name) > 60]:
        raise PotencyError("a class has more than 60 letters", long[0][:60], "give it a shorter name")
    return names


def _true(cell: Any, classes: tuple[str, ...]) -> str | None:
    """The truth as text: a class of the study, or a number; None where it is neither."""
    if classes:
        return str(cell) if str(cell) in classes else None
    try:
        return repr(float(cell))
    except (TypeError, ValueError):
        return None


def _groups(asked: Asked, sets: Sets, truth: dict[str, Any]) -> tuple[dict[str, str], str]:
    if not asked.group:
        return {}, ""
    if asked.group == NAMES:
        return grouped(sets, asked.set, truth)
    found = values(sets, asked.set, asked.group)
    return {id: str(cell) for id, cell in found.items()}, f"column {asked.group.partition(':')[2]}"


def _model(asked: Asked, shelf: Shelf, classes: tuple[str, ...]) -> dict[str, Any]:
    if not asked.model or asked.rounds < 2:
        return {"model": "", "model_title": "", "maps": False}
    model = shelf.find(asked.model)
    if model.answer != ("category" if classes else "number"):
        raise PotencyError("the model answers something else than the readers are asked", model.title,
                           "choose another model, or ask readers for what it answers")  # fmt: skip
    if classes and not set(model.classes) & set(classes):
        raise PotencyError("the model knows none of these classes", f"it knows {', '.join(model.classes)}",
                           "name the classes as the model does, or choose another model")  # fmt: skip
    return {"model": model.id, "model_title": model.title, "maps": asked.maps}
