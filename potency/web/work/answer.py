"""The work behind "what is it?": a class or number for every image, how sure, how unlike what was learned, why."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from potency.errors import PotencyError
from potency.web.answers import Found, Near, Row
from potency.web.middle import part_of
from potency.web.sets import File
from potency.web.work.kind import Kind, Order
from potency.web.work.maps import EXPLAINED, METHOD, draw
from potency.web.work.models import loaded
from potency.web.work.rows import fault_of, looked_at, manifest_of

if TYPE_CHECKING:
    from potency.bundle import Bundle
    from potency.data.manifest import Manifest

INLINE = 50  # rows that the result of the job itself holds, bare: a list of jobs reads all of theirs
NEIGHBOURS = 5


def run(order: Order) -> Mapping[str, Any]:
    """Predict every image of a set and lay training images beside it; then explain the first ones.

    What was answered can be looked at while maps are still being drawn.
    """
    from potency.bundle.learned import DIGITS, learned_from
    from potency.inference.engine import accelerate
    from potency.inference.predict import predict

    order.progress(0, 0, "loading the model")
    bundle = loaded(order.shelf.folder(order.arguments["model"]))
    asked = order.arguments["set"]
    channel = str(order.arguments.get("channel", ""))
    manifest, files = manifest_of(order.sets, asked, **looked_at(order.sets, asked, channel))
    fast = accelerate(bundle)  # once: predicting and comparing run on the same engine
    made = predict(manifest, fast, into=order.folder / "answers", progress=order.step("answering"))
    near = neighbours(order, manifest, fast)
    told = zip(files, made.table.to_dict("records"), near, strict=True)
    known = learned_from(bundle.card.data)
    seen = {file.id: replace(answered(cells, file.id, file.name, bundle, own), part=part_of(file, channel),
                             learned=file.digest[:DIGITS] in known) for file, cells, own in told}  # fmt: skip
    rows = [seen.get(file.id) or Row(file.id, file.name, error=_of_file(file))
            for file in order.sets.files(asked) if not file.facts.get("table")]  # fmt: skip
    trust = bundle.card.trust
    found = Found(rows, list(bundle.card.plan.classes), "ood" in trust and knowing(bundle), "set" in trust,
                  len(bundle.gallery or ()), made.origin.get("prediction.engine", ""))  # fmt: skip
    found.write(order.folder)
    most = int(order.arguments.get("maps", EXPLAINED))
    wanted = [row.file for row in rows if not row.error and not row.unlike][:most]  # what is not to be read waits
    draw(order.folder, manifest, bundle, wanted, order.arguments.get("method") or METHOD, order.progress)
    bare = [asdict(replace(row, nearest=[])) for row in rows[:INLINE]]
    return {"rows": bare, "of": len(rows), "counts": asdict(found.counts),
            "classes": found.classes, "set": asked, "model": order.arguments["model"],
            "engine": found.engine}  # fmt: skip


def knowing(bundle: Bundle) -> bool:
    """Whether any member knows where the images that it learned from lie."""
    return any(member.known is not None for member in bundle.members)


def answered(cells: Mapping[Any, Any], file: str, name: str, bundle: Bundle, near: list[Near]) -> Row:
    """The answer of one row for a page: class or number, probabilities, prediction set, how unlike, or the error."""
    error = cells.get("prediction.error")
    if isinstance(error, str):
        what, mend = fault_of(error)
        return Row(file, name, error={"what": what, "mend": mend})
    why = [part.strip() for part in str(cells.get("prediction.abstain") or "").split(",")]
    among, label = cells.get("prediction.set"), str(cells["prediction"])
    value = None if bundle.card.plan.classes else _number(cells["prediction"])
    if value is not None:
        label = f"{value:.4g}"
    shares = {one: _number(cells.get(f"prediction.probability.{one}")) for one in bundle.card.plan.classes}
    rarity = _number(cells.get("prediction.ood"))
    return Row(
        file, name, label, shares.get(label), shares, among.split(" | ") if isinstance(among, str) else [],
        None if rarity is None else "ood" in why, rarity, "set" in why, nearest=near, value=value,
    )  # fmt: skip


def neighbours(order: Order, manifest: Manifest, bundle: Bundle) -> list[list[Near]]:
    """The training images most like each image, where the model keeps any; their pictures lie beside the answers."""
    gallery = bundle.gallery
    if gallery is None:
        return [[] for _ in range(len(manifest))]
    from PIL import Image

    from potency.embedding.embed import embed
    from potency.embedding.learned import alike

    try:
        seen = embed(manifest, bundle, into=order.folder / "embedding",
                     progress=order.step("finding the most similar training images"))  # fmt: skip
        found = alike(seen, gallery, NEIGHBOURS)
    except PotencyError:  # no image could be read, or the gallery is another model's: the answers stand without it
        return [[] for _ in range(len(manifest))]
    place = order.folder / "nearest"
    place.mkdir(exist_ok=True)
    for number in sorted({one.place for some in found for one in some}):
        Image.fromarray(gallery.pictures[number]).save(place / f"{number}.png")
    return [[Near(one.place, one.label, one.group, one.similarity, f"nearest/{one.place}.png") for one in some]
            for some in found]  # fmt: skip


def _of_file(file: File) -> dict[str, str]:
    """Why an image of a set was not even asked about: it could not be read when it came."""
    error = file.error or {"what": "it is no image", "mend": "give an image"}
    return {"what": error["what"], "mend": error.get("mend", "")}


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


KIND = Kind("answer", "What is it?", "work/answer.html", run, place=lambda job: f"/answer/{job.id}")
