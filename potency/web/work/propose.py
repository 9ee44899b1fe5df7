"""The work behind a set of corrections: what a model says of each image, and in which order they are worth a look."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from potency.errors import AnswerError, PotencyError
from potency.web.correcting.corrections import LABELS, Correction, Corrections, Item, Proposal, masks_of, shape_of
from potency.web.correcting.maskfiles import count, read, write
from potency.web.middle import middles
from potency.web.work.cells import Options, seen_of
from potency.web.work.kind import Kind, Order
from potency.web.work.models import loaded
from potency.web.work.rows import fault_of, manifest_of

if TYPE_CHECKING:
    from potency.bundle import Bundle
    from potency.data.manifest import Manifest

HOWS = {
    LABELS: "images first in which the model outlines other cells when it sees them mirrored",
    "category": "images first whose class is least certain (entropy of the calibrated answer)",
    "masks": "images in the order they were given",
}


def run(order: Order) -> Mapping[str, Any]:
    """Give every image that nobody touched a mask or a class, and a place in the queue."""
    there = Corrections(order.store, order.owner)
    found, model = there.find(order.arguments["correction"]), str(order.arguments.get("model", ""))
    items = {item.file: item for item in there.items(found.id)}
    if not model:
        proposals = brought(order, found, items)
    else:
        order.progress(0, 0, "loading the model")
        bundle = loaded(order.shelf.folder(model))
        asked = Options(channel=str(order.arguments.get("channel", "")))
        looked = {file.id: seen_of(file, asked, bundle)[0] for file in order.sets.files(found.set)}
        manifest, _ = manifest_of(order.sets, found.set, c=looked, **middles(order.sets.files(found.set)))
        manifest = manifest.where(lambda table: table["id"].isin(list(items)))
        ways = outlined if found.kind == LABELS else named
        proposals = ways(order, found, items, (manifest, bundle))
    kept, errors = 0, []
    for file, said in proposals:
        if isinstance(said, Proposal):
            kept += there.propose(items[file].id, said)
        else:
            errors.append({"name": items[file].name, **said})
    if model:
        there.change(found.id, model=model)
    how = HOWS[found.kind if model else "masks"]
    return {"correction": found.id, "model": model, "images": len(items), "proposed": kept, "errors": errors,
            "how": how, "kind": found.kind}  # fmt: skip


Proposals = Iterator[tuple[str, Proposal | dict[str, str]]]  # by the id of the file; or what is wrong with it
Asked = tuple["Manifest", "Bundle"]


def brought(order: Order, found: Correction, items: Mapping[str, Item]) -> Proposals:
    """The masks that lie beside the images."""
    files = {file.id: file for file in order.sets.files(found.set)}
    masks, paths = masks_of(list(files.values())), order.sets.paths(found.set)
    if not masks:
        raise PotencyError("no file is called like the mask of an image", order.sets.find(found.set).title,
                           "name masks after their images: a_mask.png beside a.png, or masks/a.png")  # fmt: skip
    for done, file in enumerate(items):
        order.progress(done, len(items), "reading masks")
        if file not in masks:
            continue
        try:
            mask = paths[masks[file].id]
            labels = read(mask.parent, mask.name, shape_of(files[file]))
        except AnswerError as error:
            yield file, {"what": error.what, "where": masks[file].name, "mend": error.mend}
            continue
        yield file, drawn(order, found, items[file], labels, Proposal(None, f"from {masks[file].name}"))


def drawn(order: Order, found: Correction, item: Item, labels: Any, said: Proposal) -> Proposal:
    """A proposal with its mask, which is written."""
    path = write(order.store.place("corrections", found.id), labels, item.id)
    return replace(said, mask=path, cells=count(labels), fresh=int(labels.max(initial=0)) + 1)


def outlined(order: Order, found: Correction, items: Mapping[str, Item], asked: Asked) -> Proposals:
    """The outlines that a model finds, and how much it doubts them."""
    from potency.answers import Labels
    from potency.answers.files import CLASS
    from potency.inference.predict import predict
    from potency.web.correcting.doubt import doubt

    manifest, bundle = asked
    made = predict(manifest, bundle, into=order.folder / "answers", progress=order.step("outlining"))
    files = {file.id: file for file in order.sets.files(found.set)}
    for done, row in enumerate(made.records()):
        order.progress(done, len(made), "asking again, mirrored")
        file = str(row["id"])
        if isinstance(row.get("prediction.error"), str):
            yield file, fault(row["prediction.error"], files[file].name)
            continue
        answer = bundle.task.answer.of_cells(_cells(row), made.folder)
        assert isinstance(answer, Labels)
        labels = fitted(answer.instances, shape_of(files[file]))
        score, reason = doubt(manifest, row, bundle)
        table = answer.objects
        names = zip(table["label"], table[CLASS], strict=True) if CLASS in table else ()
        said = Proposal(score, reason, {}, {str(int(label)): str(name) for label, name in names})
        yield file, drawn(order, found, items[file], labels, said)


def named(order: Order, found: Correction, items: Mapping[str, Item], asked: Asked) -> Proposals:
    """The class that a model gives each image, and how little it is sure of it."""
    from potency.inference.predict import predict
    from potency.labelling.suggest import suggest

    manifest, bundle = asked
    made = predict(manifest, bundle, into=order.folder / "answers", progress=order.step("answering"))
    answered = {str(row["id"]): row for row in made.records()}
    failed = [id for id, row in answered.items() if isinstance(row.get("prediction.error"), str)]
    good = manifest.where(lambda table: ~table["id"].isin(failed))
    scores: dict[str, tuple[float, str]] = {}
    if len(good):
        ranked = suggest(good, bundle, count=len(good), progress=order.step("ordering"))
        for row in ranked.records():
            scores[str(row["id"])] = float(row["suggestion.score"]), f"undecided: {row['suggestion.reason']}"
    for file, row in answered.items():
        if file in failed:
            yield file, fault(row["prediction.error"], items[file].name)
            continue
        score, reason = scores[file]
        probability = row.get(f"prediction.probability.{row['prediction']}")
        sure = isinstance(probability, float) and math.isfinite(probability)
        said = {"answer": row["prediction"], "probability": float(probability) if sure else None}  # type: ignore[arg-type]
        yield file, Proposal(score, reason, said)


def fault(text: str, name: str) -> dict[str, str]:
    """The error of a row in its three fields."""
    what, mend = fault_of(text)
    return {"what": what, "where": name, "mend": mend}


def fitted(labels: Any, shape: tuple[int, int]) -> Any:
    """Labels at the size of their image: those of a model that works at another pixel size, by the nearest pixel."""
    if labels.ndim != 2:
        raise PotencyError("the model outlines in three dimensions", "the model", "choose one for flat images")
    if labels.shape != shape:
        rows, columns = (
            ((np.arange(size) + 0.5) * of / size).astype(np.intp) for size, of in zip(shape, labels.shape, strict=True)
        )
        labels = labels[rows[:, None], columns]
    return labels.astype(np.uint32)


def _cells(row: Mapping[str, Any]) -> dict[str, Any]:
    found = {name.removeprefix("prediction").removeprefix("."): value for name, value in row.items()
             if name == "prediction" or name.startswith("prediction.")}  # fmt: skip
    return {name: value for name, value in found.items() if name != "error"}


KIND = Kind("propose", "Outlines or classes to correct", "work/propose.html", run)
