"""The work before a reader study: every image is drawn as readers see it, and the model is asked about all of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from potency.data.whole import replacing
from potency.errors import ImageError, PotencyError
from potency.web.studies import Studies
from potency.web.thumbnails import coarse
from potency.web.work.answer import answered
from potency.web.work.kind import Kind, Order
from potency.web.work.models import loaded
from potency.web.work.rows import looked_at, manifest_of

if TYPE_CHECKING:
    from potency.bundle import Bundle

SIDE = 1600  # pixels of a picture's longer side


def run(order: Order) -> Mapping[str, Any]:
    """Draw the pictures, ask the model, open the study."""
    studies = Studies(order.store, order.owner)
    study = studies.find(order.arguments["study"])
    gone = _drawn(order, studies, study.id, str(study.facts["set"]))
    images = [row for row in studies.images(study.id) if row["number"] not in gone]
    if len(images) < 2:
        raise PotencyError("under two images can be read", study.title, "look at the images, and make another study")
    if study.facts.get("model"):
        _asked(order, studies, study.id, study.facts, images)
    for number in gone:
        order.store.change("DELETE FROM study_images WHERE study = ? AND number = ?", study.id, number)
    repeated = [row["number"] for row in images][: int(study.facts.get("twice", 0))]
    studies.remember(study.id, images=len(images), repeated=repeated, unread=len(gone))
    studies.open(study.id)
    return {"study": study.id, "images": len(images), "unread": len(gone)}


def _drawn(order: Order, studies: Studies, study: str, set: str) -> list[int]:
    """Keep a picture of every image, with nothing in it but pixels; the numbers of those that cannot be read."""
    from potency.evaluation.reading import picture

    paths, gone = order.sets.paths(set), []
    images = studies.images(study)
    for place, row in enumerate(images):
        order.progress(place, len(images), "drawing the pictures")
        made = studies.picture(study, row["number"])
        if made.is_file():
            continue
        try:
            pixels = coarse(paths[row["file"]], SIDE, order.store.place("sets", set), row["file"])
        except (ImageError, KeyError):
            gone.append(int(row["number"]))
            continue
        with replacing(made) as part:
            picture(pixels, SIDE).save(part, format="PNG")
    return gone


def _asked(order: Order, studies: Studies, study: str, facts: Mapping[str, Any], images: list[dict[str, Any]]) -> None:
    """Ask the model about every image, and keep what it says and, where wished, its map."""
    from potency.inference.predict import predict

    order.progress(0, 0, "loading the model")
    bundle = loaded(order.shelf.folder(str(facts["model"])))
    files = {row["file"]: int(row["number"]) for row in images}
    manifest, _ = manifest_of(order.sets, str(facts["set"]), **looked_at(order.sets, str(facts["set"])))
    manifest = manifest.where(lambda table: table["id"].isin(files))
    made = predict(manifest, bundle, into=order.folder / "answers", progress=order.step("asking the model"))
    said = {}
    for row in made.table.to_dict("records"):
        found = _class(row, bundle) if bundle.card.plan.classes else _number(row)
        said[str(row["id"])] = {**found, "map": False}
    if facts.get("maps"):
        from potency.explanation.explain import explain
        from potency.explanation.picture import overlay

        maps = explain(manifest, bundle, into=order.folder / "maps", progress=order.step("drawing maps"))
        for row in maps.table.to_dict("records"):
            if isinstance(row.get("explanation"), str):
                place = studies.picture(study, files[str(row["id"])], "maps")
                place.parent.mkdir(exist_ok=True)
                with replacing(place) as part:
                    overlay(order.folder / "maps" / Path(row["explanation"])).save(part, format="PNG")
                said[str(row["id"])]["map"] = True
    with order.store.writing() as base:
        rows = [(json.dumps(said[file]), study, number) for file, number in files.items() if file in said]
        base.executemany("UPDATE study_images SET told = ? WHERE study = ? AND number = ?", rows)


def _class(row: Mapping[Any, Any], bundle: Bundle) -> dict[str, Any]:
    found = answered(row, str(row["id"]), "", bundle, [])
    if found.error:
        return {"error": found.error["what"]}
    return {"answer": found.answer, "probabilities": found.probabilities, "unlike": found.unlike is True}


def _number(row: Mapping[Any, Any]) -> dict[str, Any]:
    error, value = row.get("prediction.error"), row.get("prediction")
    if isinstance(error, str) or value is None or value != value:
        return {"error": str(error or "no answer").partition("\n")[0]}
    return {"answer": f"{float(value):.4g}"}


KIND = Kind("study", "Reader study: preparation", "work/study.html", run)
