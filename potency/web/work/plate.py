"""The work behind a plate map: every image of every well measured, and put together by well."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from potency.data.whole import replaced
from potency.errors import ManifestError, PotencyError
from potency.web.sets import File
from potency.web.work.kind import Kind, Order
from potency.web.work.labelled import FOLDERS, labelled, tables
from potency.web.work.models import loaded

if TYPE_CHECKING:
    import pandas as pd

    from potency.bundle import Bundle
    from potency.data.manifest import Manifest

MAP = "plate.json"  # in the folder of the job: what the page shows
AT_ONCE = 16  # whole images in memory
LISTED = 20  # images that failed, one by one
ONE = "plate"  # what a plate is called that has no name
PROBABILITY = "prediction.probability."
INTENSITY = ("mean", "std", "skewness", "entropy", "p1", "p50", "p99", "share_above_2std")
# Measure of `quality` or `intensity` -> what people call it, and its unit ("" where it has none).
TITLES: Mapping[str, tuple[str, str]] = {
    "confluence": ("Confluence", "share of the image"),
    "focus_blur_px": ("Blur", "px"), "focus_laplacian": ("Sharpness (Laplacian)", ""),
    "focus_tenengrad": ("Sharpness (Tenengrad)", ""), "focus_brenner": ("Sharpness (Brenner)", ""),
    "focus_high_share": ("Sharpness (high frequencies)", "share"), "focus_slope": ("Slope of the spectrum", ""),
    "focus_reblur": ("Sharpness (second blur)", ""),
    "brightness": ("Mean brightness", "grey levels"), "saturated": ("Saturated pixels", "share"),
    "black": ("Black pixels", "share"), "contrast": ("Contrast", "grey levels"), "noise": ("Noise", "grey levels"),
    "signal_to_noise": ("Contrast over noise", ""), "unevenness": ("Uneven light", "share of the ground"),
    "haze": ("Haze", "ground over signal"), "specks_per_mpx": ("Specks", "per million pixels"),
    "bubbles": ("Bubbles", "count"), "not_finite": ("Pixels that are no number", "share"),
    "mean": ("Intensity, mean", "grey levels"), "std": ("Intensity, spread", "grey levels"),
    "skewness": ("Intensity, skewness", ""), "entropy": ("Intensity, entropy", "bits"),
    "p1": ("Intensity, 1st percentile", "grey levels"), "p50": ("Intensity, median", "grey levels"),
    "p99": ("Intensity, 99th percentile", "grey levels"), "share_above_2std": ("Bright pixels (mean + 2 SD)", "share"),
}  # fmt: skip


@dataclass(frozen=True)
class Measure:
    """One thing that a map may be coloured by: its column, its name and unit, and where it comes from."""

    key: str
    title: str
    unit: str
    group: str


def run(order: Order) -> Mapping[str, Any]:
    """Measure images, ask a model where one was chosen, and write the map and its tables."""
    import pandas as pd

    from potency.data.columns import simulated
    from potency.data.tables import write_table

    words = order.arguments
    order.progress(0, 0, "reading wells")
    manifest, files = in_wells(order, str(words["set"]))
    table, measures = manifest.table, _own(manifest)
    for found, known in (_judged(order, manifest), _bright(order, manifest) if words.get("intensity") else (None, []),
                         _asked(order, manifest) if words.get("model") else (None, [])):  # fmt: skip
        if found is not None:
            table = pd.concat([table, found.set_axis(table.index)], axis=1)
            measures += known
    measures = [one for one in measures if table[one.key].notna().any()]
    order.progress(0, 0, "drawing the map")
    images = _images(manifest, table, measures, files)
    wells = _wells(images, measures)
    plates = sorted({one["plate"] for one in wells}, key=_natural)
    facts = {"measures": [vars(one) for one in measures], "plates": plates, "wells": wells, "images": images,
             "set": words["set"]}  # fmt: skip
    replaced(order.folder / MAP, json.dumps(facts))
    write_table(_sheet(wells, measures), order.folder / "wells.csv", {})
    write_table(_sheet(images, measures), order.folder / "images.csv", {})
    errors = [{"name": one["name"], "what": one["error"]} for one in images if one["error"]]
    return {"plates": plates, "wells": len(wells), "images": len(images), "measures": len(measures),
            "errors": errors[:LISTED], "failed": len(errors), "flagged": sum(bool(one["flags"]) for one in images),
            "set": words["set"], "simulated": simulated(table)}  # fmt: skip


def in_wells(order: Order, set: str) -> tuple[Manifest, dict[str, File]]:
    """The rows of a set with `plate` and `well` in their usual spelling: from a table that has them, else from names.

    Raises:
        ManifestError: neither tells the wells.
    """
    from potency.data.columns import plain
    from potency.data.wells import PLATE, WELL, well_name

    listed = tables(order.sets.files(set))
    faults: list[PotencyError] = []
    for source in (*(table.id for table in listed), FOLDERS):
        try:
            manifest, files = labelled(order.sets, set, {"labels": source, "names": order.arguments.get("names")})
        except PotencyError as error:
            faults.append(error)
            continue
        names = {plain(str(name)): str(name) for name in manifest.table.columns}
        well = next((names[name] for name in WELL if name in names), None)
        if well is None:
            continue
        plate = next((names[name] for name in PLATE if name in names), None)
        spelt = manifest.table[well].map(lambda cell: well_name(str(cell)))
        plates = manifest.table[plate].fillna(ONE).astype(str) if plate else [ONE] * len(manifest)
        here = spelt.notna() & manifest.table["image"].isin(files)
        if here.any():
            return replace(manifest, table=manifest.table.assign(well=spelt, plate=plates)).where(here), files
    if faults and (listed or order.arguments.get("names")):
        raise faults[0]
    raise ManifestError("neither the names nor a table tell the wells", order.sets.find(set).title,
                        "name files like P7_B03_s2_DAPI.tif, say how names are made, or bring a table with the "
                        "columns image and well")


def _judged(order: Order, manifest: Manifest) -> tuple[pd.DataFrame, list[Measure]]:
    from potency.measurement.quality.quality import quality

    made = quality(manifest, progress=order.step("measuring")).table
    names = [str(name) for name in made if str(name).startswith("quality.")]
    numbers = [name for name in names if name not in ("quality.flags", "quality.error")]
    numbers = [name for name in numbers if not name.endswith("not_finite") or made[name].gt(0).any()]
    order_of = {name: at for at, name in enumerate(TITLES)}
    numbers.sort(key=lambda name: (name.rpartition(".")[0], order_of.get(name.rpartition(".")[2], len(order_of))))
    return made[names], [_measure(name, "Quality") for name in numbers]


def _bright(order: Order, manifest: Manifest) -> tuple[pd.DataFrame, list[Measure]]:
    import pandas as pd

    from potency.measurement.measure import measure

    pieces, step = [], order.step("measuring intensity")
    for start in range(0, len(manifest), AT_ONCE):
        some = manifest.where([start <= row < start + AT_ONCE for row in range(len(manifest))])
        try:
            made = measure(some, families=("intensity",)).table
            pieces.append(made[[name for name in made if str(name).startswith("measure.")]])
        except PotencyError as error:  # images of several kinds are measured one kind at a time
            pieces.append(pd.DataFrame({"measure.error": [error.what] * len(some)}))
        step(min(len(manifest), start + AT_ONCE), len(manifest))
    found = pd.concat(pieces, ignore_index=True)
    shown = [str(name) for name in found if str(name).rpartition(".")[2] in INTENSITY]
    kept = [*shown, *(name for name in ("measure.error",) if name in found)]
    return found[kept], [_measure(name, "Intensity") for name in shown]


def _asked(order: Order, manifest: Manifest) -> tuple[pd.DataFrame, list[Measure]]:
    """What a model says of every image: the probability of each class, its number, or how many objects it finds."""
    from potency.data.parts import CHANNEL
    from potency.inference.predict import predict

    if order.arguments.get("channel"):
        manifest = manifest.add({CHANNEL: [order.arguments["channel"]] * len(manifest)})
    title = order.shelf.find(str(order.arguments["model"])).title
    bundle = loaded(order.shelf.folder(str(order.arguments["model"])))
    made = predict(manifest, bundle, into=order.folder / "answers", progress=order.step("asking the model")).table
    keep = [str(name) for name in made if str(name).startswith(PROBABILITY)]
    measures = [Measure(name, f"Probability of {name.removeprefix(PROBABILITY)}", "", title) for name in keep]
    if "prediction.count" in made:
        keep, measures = ["prediction.count"], [Measure("prediction.count", _counted(bundle), "per image", title)]
    elif not keep and "prediction" in made and made["prediction"].dtype.kind == "f":
        keep, measures = ["prediction"], [Measure("prediction", "Predicted value", "", title)]
    errors = [str(name) for name in made if str(name) == "prediction.error"]
    if not measures and not errors:
        raise PotencyError("the answers of this model are no numbers", title, "choose one that names classes or counts")
    return made[[*keep, *errors]], measures


def _counted(bundle: Bundle) -> str:
    classes = bundle.card.plan.classes
    return f"Count of {classes[0]}" if len(classes) == 1 else "Objects"


def _own(manifest: Manifest) -> list[Measure]:
    """Columns of numbers that came with the table."""
    import pandas as pd

    table = manifest.table
    skip = {"t", "z", "c", "series", "field", "fold", "timepoint", "simulated"}
    return [Measure(str(name), "Label" if name == "truth" else str(name), "", "From the table") for name in table
            if pd.api.types.is_numeric_dtype(table[name]) and not pd.api.types.is_bool_dtype(table[name])
            and str(name) not in skip and not str(name).startswith("tile.")]  # fmt: skip


def _measure(name: str, group: str) -> Measure:
    head, _, last = name.rpartition(".")
    title, unit = TITLES.get(last, (last.replace("_", " ").capitalize(), ""))
    channel = ".".join(part for part in head.split(".") if part not in ("quality", "measure", "intensity"))
    if channel in ("", "grey"):
        return Measure(name, title, unit, group)
    return Measure(name, f"{title} ({channel})", unit, f"{group}, {channel}")


def _images(manifest: Manifest, table: pd.DataFrame, measures: Sequence[Measure],
            files: Mapping[str, File]) -> list[dict[str, Any]]:  # fmt: skip
    """One entry an image of a well: its files, its values, what is wrong with it."""
    columns = [f"image.{name}" for name in manifest.channels] or ["image"]
    found = []
    for row in table.to_dict("records"):
        there = [(column.removeprefix("image.") if column != "image" else "", files[row[column]])
                 for column in columns if row[column] in files]  # fmt: skip
        wrong = next((str(row[name]) for name in ("quality.error", "prediction.error", "measure.error")
                      if isinstance(row.get(name), str)), "")  # fmt: skip
        found.append({
            "plate": row["plate"], "well": row["well"], "name": str(row["id"]), "field": _text(row.get("field")),
            "label": _text(row.get("truth")), "error": wrong.partition("\n")[0],
            "files": [{"file": file.id, "channel": channel} for channel, file in there],
            "flags": [word for word in str(row.get("quality.flags") or "").split("; ") if word],
            "values": {one.key: value for one in measures if (value := _number(row[one.key])) is not None},
        })  # fmt: skip
    return found


def _wells(images: Sequence[Mapping[str, Any]], measures: Sequence[Measure]) -> list[dict[str, Any]]:
    """One entry a well: the mean over its images of every measure, how many images, and their flags."""
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for one in images:
        found.setdefault((one["plate"], one["well"]), []).append(one)
    wells = []
    for (plate, well), inside in sorted(found.items(), key=lambda item: (_natural(item[0][0]), item[0][1])):
        values = {}
        for key in (one.key for one in measures):
            known = [image["values"][key] for image in inside if key in image["values"]]
            if known:
                values[key] = math.fsum(known) / len(known)
        labels = sorted({image["label"] for image in inside if image["label"]})
        wells.append({"plate": plate, "well": well, "images": len(inside), "values": values, "label": ", ".join(labels),
                      "flags": sorted({flag for image in inside for flag in image["flags"]}),
                      "errors": sum(bool(image["error"]) for image in inside)})  # fmt: skip
    return wells


def _sheet(rows: Sequence[Mapping[str, Any]], measures: Sequence[Measure]) -> pd.DataFrame:
    import pandas as pd

    plain = ("plate", "well", "name", "field", "label", "images", "error", "errors")
    return pd.DataFrame([{
        **{name: row[name] for name in plain if name in row}, "flags": "; ".join(row["flags"]),
        **{one.key: row["values"].get(one.key) for one in measures},
    } for row in rows])  # fmt: skip


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _text(value: Any) -> str:
    return "" if value is None or value != value else f"{value:g}" if isinstance(value, float) else str(value)


def _natural(text: str) -> Any:
    from potency.data.folders import natural

    return natural(text)


KIND = Kind("plate", "Plate map", "work/plate.html", run, head="work/plate.head.html")
