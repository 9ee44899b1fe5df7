"""The work behind "what is it?": a class for every image, how sure, how unlike what was learned, and why."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from potency.web.work.kind import Kind, Order
from potency.web.work.models import loaded
from potency.web.work.rows import manifest_of

if TYPE_CHECKING:
    from potency.bundle import Bundle
    from potency.data.manifest import Manifest

EXPLAINED = 24  # images that get a map at once; more on request, a map costs as much as many answers


def run(order: Order) -> Mapping[str, Any]:
    """Predict every image of a set, then explain the first ones."""
    from potency.inference.predict import predict

    order.progress(0, 0, "loading the model")
    bundle = loaded(order.shelf.folder(order.arguments["model"]))
    manifest, files = manifest_of(order.sets, order.arguments["set"])
    made = predict(manifest, bundle, into=order.folder / "answers", progress=order.step("answering"))
    maps = explained(order, manifest, bundle)
    rows = [{**told(row, bundle), "file": file.id, "name": file.name, "map": maps.get(file.id)}
            for row, file in zip(made.table.to_dict("records"), files, strict=True)]  # fmt: skip
    return {"rows": rows, "classes": list(bundle.card.plan.classes), "set": order.arguments["set"],
            "model": order.arguments["model"], "engine": made.origin.get("prediction.engine", "")}  # fmt: skip


def told(row: Mapping[Any, Any], bundle: Bundle) -> dict[str, Any]:
    """The answer of one row for a page: class, probabilities, prediction set, how unlike, or the error."""
    error = row.get("prediction.error")
    if isinstance(error, str):
        what, _, rest = error.partition("\n")
        return {"error": what, "mend": rest.partition("mend: ")[2]}
    why = str(row.get("prediction.abstain") or "")
    among = str(row.get("prediction.set") or "")
    classes = bundle.card.plan.classes
    return {
        "answer": row["prediction"],
        "probabilities": {name: _number(row.get(f"prediction.probability.{name}")) for name in classes},
        "set": [part.strip() for part in among.split("|") if part.strip()],
        "unlike": "ood" in why, "rarity": _number(row.get("prediction.ood")), "undecided": "set" in why,
    }  # fmt: skip


def explained(order: Order, manifest: Manifest, bundle: Bundle) -> dict[str, dict[str, Any]]:
    """The maps of the first images by the id of their file: picture and what it was tested by."""
    from potency.explanation.explain import explain

    first = manifest.where(lambda table: table.index < EXPLAINED)
    made = explain(first, bundle, into=order.folder / "maps", progress=order.step("explaining"))
    found = {}
    for row in made.table.to_dict("records"):
        if isinstance(row.get("explanation"), str):
            picture = Path("maps", row["explanation"]).with_suffix(".png")
            tests = {name: _number(row.get(f"explanation.{name}")) for name in ("deletion", "insertion")}
            found[str(row["id"])] = {"picture": picture.as_posix(), "label": row.get("explanation.label"), **tests}
    return found


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


KIND = Kind("answer", "What is it?", "work/answer.html", run)
