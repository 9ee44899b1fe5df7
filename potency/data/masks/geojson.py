"""QuPath's GeoJSON: outlines and points in pixels of the full image, class and measurements, streamed both ways."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from potency.data.masks.annotation import COLUMNS, Annotation, Shape
from potency.data.masks.disk import replacing
from potency.data.masks.fill import join_rings
from potency.data.masks.jsonstream import GZIP, members
from potency.data.masks.outlined import Drawing, outlined
from potency.data.masks.trace import wound
from potency.errors import AnswerError

suffixes = (".geojson",)
SCORES = ("Detection probability", "score", "Probability", "probability")  # the first is StarDist's name in QuPath


def recognises(path: Path, head: bytes) -> bool:
    """Say whether the text begins as GeoJSON does, or is packed and named so."""
    if head.startswith(GZIP):
        return path.name.lower().endswith((".geojson.gz", ".json.gz"))
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    marks = (b'"FeatureCollection"', b'"Feature"', b'"geometry"')
    return text[:1] in (b"{", b"[") and (any(mark in text for mark in marks) or path.suffix.lower() == ".geojson")


def read(path: Path, name: str | None, shape: Shape | None) -> Annotation:
    """Read every feature; of several classes (QuPath 0.6) the names are joined by a colon and a blank."""
    drawing = Drawing(shape[-2:] if shape else None, str(path))
    found: set[str] = set()
    single: dict[str, Any] = {}
    for member, item in members(path):
        if member in ("features", ""):
            found.add("features")
            _feature(item, drawing)
        else:
            single[member] = item
    if single.get("type") == "Feature":
        _feature(single, drawing)
    elif "features" not in found and single.get("type") != "FeatureCollection":
        raise AnswerError("this JSON holds no features (it holds " + (", ".join(sorted(single)[:5]) or "nothing") + ")",
                          str(path), "in QuPath: File > Export objects as GeoJSON")
    return drawing.done()


def _feature(feature: Any, drawing: Drawing) -> None:
    if not isinstance(feature, dict) or not isinstance(feature.get("geometry"), dict):
        drawing.lost["features without a geometry left out"] += 1
        return
    said = feature.get("properties")
    properties: dict[str, Any] = said if isinstance(said, dict) else {}
    measured = measurements(properties.get("measurements"))
    score = next((measured.pop(one) for one in SCORES if one in measured), math.nan)
    kind = classification(properties.get("classification"))
    drawing.name = properties.get("name")
    if "nucleusGeometry" in feature:
        drawing.lost["nuclei within cells not read, the cells are"] += 1
    shape, places = feature["geometry"].get("type"), feature["geometry"].get("coordinates")
    try:
        if shape == "Polygon":
            drawing.outline(rings(places), kind, score, measured)
        elif shape == "MultiPolygon":
            drawing.outline(join_rings([rings(part) for part in places]), kind, score, measured)
        elif shape in ("Point", "MultiPoint"):
            for x, y, *_ in [places] if shape == "Point" else places:
                drawing.point(y - 0.5, x - 0.5, kind, score, measured)
        else:
            drawing.lost[f"features of the form {str(shape)[:30]} left out"] += 1
    except (ValueError, TypeError, IndexError):
        drawing.lost["features with coordinates that are none left out"] += 1


def rings(places: Any) -> NDArray[np.float64]:
    """Turn GeoJSON's closed rings of x, y, the first around all others, into an outline of the object table."""
    found = list[NDArray[np.float64]]()
    for ring in places:
        corners = np.array(ring, np.float64)
        if corners.ndim != 2 or corners.shape[1] < 2 or np.isnan(corners).any():
            raise ValueError("no ring")
        corners = corners[:, 1::-1]
        corners = corners[:-1] if len(corners) > 1 and (corners[0] == corners[-1]).all() else corners
        found.append(wound(corners, clockwise=not found))  # many programs do not mind which way a hole runs
    return join_rings(found)


def classification(said: Any) -> str:
    """Give the name of QuPath's class, in any of the ways it was written over the years."""
    if isinstance(said, dict):
        names = said.get("names")
        return ": ".join(map(str, names)) if isinstance(names, list) and names else str(said.get("name") or "")
    return str(said) if isinstance(said, str) else ""


def measurements(said: Any) -> dict[str, float]:
    """Give measurements, written as a mapping or (before QuPath 0.4) as a list of names and values."""
    if isinstance(said, list):
        said = {str(one.get("name")): one.get("value") for one in said if isinstance(one, dict)}
    if not isinstance(said, dict):
        return {}
    return {str(key): float(value) for key, value in said.items()
            if isinstance(value, int | float) and abs(value) < 1e300}  # fmt: skip


def write(path: Path, annotation: Annotation) -> Mapping[str, int]:
    """Write a feature a line: outlines as detections, what has none as a box or point."""
    lost: Counter[str] = Counter()
    with replacing(path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        between = "\n"
        for line in lines(annotation, str(path), lost):
            file.write(between + line)
            between = ",\n"
        file.write("\n]}\n")
    return lost


def lines(annotation: Annotation, where: str, lost: Counter[str]) -> Iterator[str]:
    """Give each object as the text of a feature."""
    properties = described(annotation.objects)
    # Without a plane QuPath puts everything on the first one.
    plane = {"plane": {"c": -1, "z": 0, "t": 0, **annotation.part}} if annotation.part else {}
    left = np.ones(len(annotation.objects), bool)
    for row, parts in outlined(annotation, where):
        left[row] = False
        places = [[closed(ring) for ring in part] for part in parts]
        geometry = {"type": "Polygon", "coordinates": places[0]} if len(places) == 1 else {
            "type": "MultiPolygon", "coordinates": places}  # fmt: skip
        yield json.dumps({"type": "Feature", "geometry": {**geometry, **plane}, "properties": properties(row)})
    edges = annotation.objects[["top", "left", "bottom", "right", "y", "x"]].to_numpy()
    for row in np.flatnonzero(left).tolist():
        top, low, bottom, high, y, x = edges[row].tolist()
        if math.isnan(top):
            geometry = {"type": "Point", "coordinates": [x + 0.5, y + 0.5]}
        else:
            corners = np.array([[top, low], [top, high], [bottom, high], [bottom, low]])
            geometry = {"type": "Polygon", "coordinates": [closed(corners)]}
            lost["boxes written as outlines"] += 1
        yield json.dumps({"type": "Feature", "geometry": {**geometry, **plane}, "properties": properties(row)})


def closed(ring: NDArray[np.float64]) -> list[list[float]]:
    """Give a ring as closed x, y; whole numbers as such, which halves the file."""
    corners = np.concatenate([ring, ring[:1]])[:, ::-1]
    whole = corners.astype(np.int64)
    return (whole if (whole == corners).all() else corners).tolist()  # type: ignore[no-any-return]


def described(objects: pd.DataFrame) -> Any:
    """Give a function that tells the properties of the object in a row."""
    labels, kinds, scores = (objects[name].tolist() for name in ("label", "class", "score"))
    more = [name for name in objects.columns if name not in (*COLUMNS, "polygon", "z")]
    numbers = {str(name): pd.to_numeric(objects[name], errors="coerce").tolist() for name in more}

    def properties(row: int) -> dict[str, Any]:
        measured = {name: column[row] for name, column in numbers.items() if math.isfinite(column[row])}
        if math.isfinite(scores[row]):
            measured = {SCORES[0]: scores[row], **measured}
        said: dict[str, Any] = {"objectType": "detection", "name": str(labels[row])}
        if kinds[row]:
            said["classification"] = {"name": kinds[row]}
        return {**said, "measurements": measured} if measured else said

    return properties
