"""The work behind "find cells": every cell of every image outlined, counted, measured, given to other programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from potency.errors import AnswerError, PotencyError
from potency.web import layers
from potency.web.middle import middle, middles
from potency.web.sets import File
from potency.web.work.exports import exported
from potency.web.work.kind import Kind, Order
from potency.web.work.measuring import Cells, measured, settled
from potency.web.work.models import loaded
from potency.web.work.rows import fault_of, manifest_of

if TYPE_CHECKING:
    import pandas as pd

    from potency.bundle import Bundle
    from potency.data.manifest import Manifest

LEARNED = {"nuclei": 30.0}  # px across: what a model finds best, of those that take cells of any size
NEAR = 1.25  # so much larger or smaller makes no difference
SEEN_FIRST = ("nucle", "dapi", "hoechst", "h2b", "draq", "cell")  # names of channels in which cells are looked for
RGB = ("red", "green", "blue")


@dataclass(frozen=True, kw_only=True)
class Options:
    """How cells are to be found.

    Attributes:
        channel: by name or number, of images that have several; "" takes the nuclear one by its name, else the first.
        diameter: of a cell, 0 for as the model sees them; `um` says whether it and `smallest` are in um or in pixels.
        smallest: diameter under which an object is left out.
        whole: leave out what the edge of the image cuts.
        pixel_size: um, of images whose file does not say.
    """

    channel: str = ""
    diameter: float = 0.0
    smallest: float = 0.0
    um: bool = False
    whole: bool = False
    pixel_size: float = 0.0

    def size_of(self, file: File) -> float | None:
        """The pixel size of an image in um, as the file or the one who asks says."""
        own = (file.facts.get("pixel_size") or {}).get("X")
        return float(own) if own else self.pixel_size or None

    def pixels(self, length: float, file: File) -> float:
        """A length in pixels of an image.

        Raises:
            AnswerError: it is in um, and nobody has said how large a pixel is.
        """
        size = self.size_of(file)
        if not self.um or not length:
            return length
        if size is None:
            raise AnswerError("the file does not say how large a pixel is, and sizes were given in um", file.name,
                              "give the pixel size, or sizes in pixels")  # fmt: skip
        return length / size


def run(order: Order) -> Mapping[str, Any]:
    """Find the cells of every image of a set, measure them, and write what others read."""
    asked = {name: value for name, value in order.arguments.items() if name in Options.__dataclass_fields__}
    options = Options(**asked)
    order.progress(0, 0, "loading the model")
    bundle = loaded(order.shelf.folder(order.arguments["model"]))
    set_ = order.sets.find(order.arguments["set"])
    seen, notes = {}, {}
    for file in order.sets.files(set_.id):
        seen[file.id], notes[file.id] = seen_of(file, options, bundle)
    sizes = {file.id: options.pixel_size or None for file in order.sets.files(set_.id)}
    manifest, files = manifest_of(order.sets, set_.id, c=seen, pixel_size=sizes,
                                  **middles(order.sets.files(set_.id)))
    found = [Cells(file, notes[file.id], t=middle(file, "T"), z=middle(file, "Z")) for file in files]
    answered(order, bundle, manifest, found, options)
    for place, cells in enumerate(found):
        order.progress(place, len(found), "outlining")
        settled(order.folder, manifest, cells, options)
    objects = measured(order, manifest, found)
    exports = exported(order, found, objects)
    layers.write(order.folder, {
        cells.file.id: [layers.Layer(name="cells", title="Cells", single="Cell", kind="labels", path=cells.labels,
                                     objects="objects.parquet", t=cells.t, z=cells.z)]
        for cells in found if cells.labels
    })  # fmt: skip
    unread = [{"name": file.name, "file": file.id, **(file.error or {})} for file in order.sets.files(set_.id)
              if file.error]  # fmt: skip
    return {
        "set": set_.id, "model": order.arguments["model"], "title": order.shelf.find(order.arguments["model"]).title,
        "simulated": bool(set_.facts.get("simulated")),
        "images": [cells.told(objects) for cells in found], "unread": unread, "total": len(objects),
        "plots": plots(objects, found), "exports": exports, "options": asked,
    }  # fmt: skip


def seen_of(file: File, options: Options, bundle: Bundle) -> tuple[str | None, str]:
    """The channel of an image in which a model that sees one looks, and a note on it where it was not asked for."""
    names = [str(name) for name in file.facts.get("channels") or ()]
    plan = bundle.card.plan
    if len(names) < 2 or len(plan.channels) != 1:
        return None, ""
    if options.channel:
        return options.channel, ""
    if tuple(name.lower() for name in names) == RGB:
        return None, "colour seen as grey"
    if plan.channels[0] in names:
        return plan.channels[0], ""
    first = next((name for part in SEEN_FIRST for name in names if part in name.lower()), names[0])
    return str(names.index(first)), f"looked for in {first}"


def answered(order: Order, bundle: Bundle, manifest: Manifest, found: list[Cells], options: Options) -> None:
    """Let the model find cells; images that are to be seen at another scale are seen together with those alike."""
    from potency.inference.predict import predict

    scales: dict[float | None, list[int]] = {}
    for place, cells in enumerate(found):
        try:
            scales.setdefault(scale_of(order.arguments["model"], cells.file, options), []).append(place)
        except AnswerError as error:
            cells.error, cells.mend = error.what, error.mend
    done = 0
    for number, (um, places) in enumerate(scales.items()):
        rows = manifest.where([place in places for place in range(len(found))])
        if um is not None:  # what is unknown is called 1, so that only the ratio counts
            sizes = [options.size_of(found[place].file) or 1.0 for place in places]
            rows = rows.where([True] * len(rows))
            rows = replace(rows, table=rows.table.assign(pixel_size=sizes))

        def progress(now: int, of: int, before: int = done, more: int = len(found)) -> None:
            order.progress(before + now, max(more, before + of), "finding cells")

        made = predict(rows, bundle if um is None else scaled(bundle, um), into=order.folder / f"answers-{number}",
                       progress=progress)  # fmt: skip
        done += len(places)
        for place, row in zip(places, made.table.to_dict("records"), strict=True):
            fault = row.get("prediction.error")
            if isinstance(fault, str):
                found[place].error, found[place].mend = fault_of(fault)
            else:
                found[place].answer = (made.folder / str(row["prediction"])).resolve()
                found[place].table = _path(made.folder, row.get("prediction.objects"))
                cut = row.get("prediction.cut")
                if cut == cut and cut:
                    found[place].notes.append("some cells are larger than the model sees: give the diameter")


def _path(folder: Path, cell: Any) -> Path | None:
    return (folder / cell).resolve() if isinstance(cell, str) else None


def scale_of(model: str, file: File, options: Options) -> float | None:
    """The pixel size (um; of an image of unknown size in its pixels) at which a model shall see it; None: as it is."""
    if not options.diameter or model not in LEARNED:
        return None
    ratio = options.pixels(options.diameter, file) / LEARNED[model]
    if 1 / NEAR < ratio < NEAR:
        return None
    return float(f"{ratio * (options.size_of(file) or 1.0):.3g}")


def scaled(bundle: Bundle, um: float) -> Bundle:
    """The model, to be shown images at a pixel size."""
    import copy

    members = []
    for member in bundle.members:
        members.append(copy.copy(member))
        members[-1].plan = member.plan.but(pixel_size=um)
    plans = tuple(plan.but(pixel_size=um) for plan in bundle.card.plans)
    return replace(bundle, members=tuple(members), card=replace(bundle.card, plans=plans))


def plots(objects: pd.DataFrame, found: list[Cells]) -> list[dict[str, str]]:
    """How sizes and brightness spread, image by image where they are few: title, drawing, what to look for."""
    from potency.pictures import spread
    from potency.pictures.found import size_column
    from potency.web.drawn import attributed

    names = [size_column(objects), next((name for name in map(str, objects) if name.startswith("intensity_mean")), "")]
    by = "image" if 1 < len({cells.file.id for cells in found if cells.count}) <= spread.LINES else ""
    made = []
    for name in filter(None, names):
        values = objects[name].to_numpy(np.float64) if len(objects) else np.empty(0)
        if np.isfinite(values).sum() < 2:
            continue
        plot = spread.picture(objects, name, by, spread.spreads(objects, name, by))
        made.append({"title": plot.title, "svg": attributed(plot.svg), "look": plot.look})
    return made


def refused(options: Options, model: str) -> None:
    """Refuse options that mean nothing, before the work begins.

    Raises:
        PotencyError: a size below 0 or beyond belief; a diameter for a model that does not take one.
    """
    for name, value, most in (("diameter", options.diameter, 5000), ("smallest", options.smallest, 5000),
                              ("pixel size", options.pixel_size, 1000)):  # fmt: skip
        if not 0 <= value <= most:
            raise PotencyError(f"a {name} of {value:g} is impossible", name, "leave it empty, or give a size")
    if options.diameter and model not in LEARNED:
        raise PotencyError("this model knows how large its cells are", "diameter", "leave the diameter empty")


KIND = Kind("cells", "Find cells", "work/cells.html", run, head="work/cells.head.html")
