"""ImageJ regions: one in a `.roi` file or many in a zip, by the published layout of these files (ij.io.RoiDecoder)."""

from __future__ import annotations

import math
import struct
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from potency.data.folders import of_the_system
from potency.data.masks.annotation import Annotation, Shape
from potency.data.masks.disk import replacing
from potency.data.masks.fill import join_rings
from potency.data.masks.outlined import Drawing, outlined
from potency.errors import AnswerError

suffixes = (".roi", ".zip")
MAGIC = b"Iout"
MANY, LARGE, ALL = 2_000_000, 2**26, 2**32  # regions in a zip, bytes of one unpacked, bytes of all unpacked
HEADER, SECOND = 64, 64  # bytes of the first header and of the second, which stands at the end
POLYGON, RECTANGLE, OVAL, FREEHAND, TRACED, POINT = 0, 1, 2, 7, 8, 10
OTHERS = {3: "lines", 4: "freehand lines", 5: "segmented lines", 6: "empty regions", 9: "angles"}
SUBPIXEL = 128  # of the options: places stand once more, as floats
ARGUMENTS = {0: 2, 1: 2, 2: 4, 3: 6, 4: 0}  # of a composite: move, line, quadratic, cubic, close
VERSION = 228
CLASS, SCORE = "class", "score"


def recognises(path: Path, head: bytes) -> bool:
    """Say whether it is a region, or a zip (of which only those of regions are read)."""
    return head.startswith((MAGIC, b"PK\x03\x04", b"PK\x05\x06"))


def read(path: Path, name: str | None, shape: Shape | None) -> Annotation:
    """Read regions; numbers as names become ids; positions in a stack are ignored, and that is counted."""
    drawing = Drawing(shape[-2:] if shape else None, str(path))
    positions: set[tuple[int, ...]] = set()
    with path.open("rb") as file:
        single = file.read(4) == MAGIC
    if single:
        if path.stat().st_size > LARGE:
            raise AnswerError(f"a region of more than {LARGE // 2**20} MiB", str(path), "is it the right file?")
        _region(path.read_bytes(), path.stem, drawing, positions)
        return drawing.done()
    with zipfile.ZipFile(path) as archive:
        entries = [one for one in archive.infolist() if not one.is_dir() and not of_the_system(one.filename)]
        regions = [one for one in entries if one.filename.lower().endswith(".roi")]
        if len(regions) > MANY or sum(one.file_size for one in regions) > ALL or any(
            one.file_size > LARGE for one in regions
        ):
            raise AnswerError(f"the zip claims {len(regions)} regions of "
                              f"{sum(one.file_size for one in regions) / 2**30:.1f} GiB", str(path),
                              "it is damaged or a bomb; save the regions again")  # fmt: skip
        if entries and not regions:
            raise AnswerError(f"the zip holds no ImageJ regions (its first file is {entries[0].filename[:60]!r})",
                              str(path), "unpack it, and name what is inside")  # fmt: skip
        drawing.lost["files in the zip that are no regions left out"] += len(entries) - len(regions)
        for one in regions:
            if one.flag_bits & 1:
                raise AnswerError("the zip is encrypted", str(path), "save the regions without a password")
            with archive.open(one) as packed:
                data = packed.read(LARGE + 1)
            _region(data, PurePosixPath(one.filename).stem, drawing, positions)
    if len(positions) > 1:
        drawing.lost["positions in a stack ignored, all regions are in one plane"] += len(positions)
    return drawing.done()


def _region(data: bytes, name: str, drawing: Drawing, positions: set[tuple[int, ...]]) -> None:
    if not data.startswith(MAGIC) or len(data) < HEADER:
        raise AnswerError(f"{name!r} is no ImageJ region", drawing.where, "it is damaged; save the regions again")
    version, kind, top, left, bottom, right, few = struct.unpack_from(">hBxhhhhH", data, 4)
    (composite,), (options, _) = struct.unpack_from(">i", data, 36), struct.unpack_from(">hh", data, 50)
    (position,), (second,) = struct.unpack_from(">i", data, 56), struct.unpack_from(">i", data, 60)
    exact = bool(options & SUBPIXEL) and version >= 222
    if few == 0 and kind in (POLYGON, FREEHAND, TRACED, POINT):
        few = struct.unpack_from(">i", data, 18)[0]  # more corners than 16 bits can count
    said = {}
    if 0 < second <= len(data) - 52:
        positions.add((*struct.unpack_from(">iii", data, second + 4), position))
        said = _said(data, second)
    drawing.name, what = name, said.get(CLASS, "")
    score = float(said.get(SCORE, "nan"))
    if composite > 0:
        drawing.outline(_composite(data, composite), what, score)
    elif kind in (POLYGON, FREEHAND, TRACED, POINT):
        places = _corners(data, few, exact, top, left)
        if kind != POINT:
            drawing.outline(places, what, score)
        for y, x in places if kind == POINT else ():
            drawing.point(*((y - 0.5, x - 0.5) if exact else (y, x)), what, score)
    elif kind in (RECTANGLE, OVAL):
        if exact:
            x, y, width, height = struct.unpack_from(">4f", data, 18)
            top, left, bottom, right = y, x, y + height, x + width
        drawing.outline(_ellipse(top, left, bottom, right) if kind == OVAL else
                        np.array([[top, left], [top, right], [bottom, right], [bottom, left]]), what, score)
    else:
        drawing.lost[f"{OTHERS.get(kind, 'unknown regions')} left out"] += 1


def _corners(data: bytes, count: int, exact: bool, top: int, left: int) -> NDArray[np.float64]:
    """Give corners (y, x): short numbers from the top left of the box on, or floats from the image's."""
    if not 0 <= count <= (len(data) - HEADER) // (12 if exact else 4):
        raise AnswerError(f"a region of {count} corners in {len(data)} bytes", "", "it is damaged; save it again")
    if exact:
        x, y = np.frombuffer(data, ">f4", 2 * count, HEADER + 4 * count).reshape(2, count).astype(np.float64)
        return np.stack([y, x], axis=1)
    x, y = np.frombuffer(data, ">i2", 2 * count, HEADER).reshape(2, count).astype(np.float64)
    return np.stack([y + top, x + left], axis=1)


def _composite(data: bytes, size: int) -> NDArray[np.float64]:
    """Give the rings of a composite (a path of moves, lines and curves); of a curve its ends and two points between."""
    if size > (len(data) - HEADER) // 4:
        raise AnswerError(f"a composite region of {size} numbers in {len(data)} bytes", "", "save the regions again")
    numbers = np.frombuffer(data, ">f4", size, HEADER).astype(np.float64).tolist()
    rings: list[list[tuple[float, float]]] = []
    at = 0
    while at < size:
        step = ARGUMENTS.get(numbers[at])
        if step is None or at + step >= size:
            raise AnswerError("a composite region breaks off", "", "it is damaged; save the regions again")
        x, places = numbers[at + 1 : at + step + 1 : 2], numbers[at + 2 : at + step + 2 : 2]
        if numbers[at] == 0:
            rings.append([])
        if step and not rings:
            rings.append([])
        if step:
            start = rings[-1][-1] if rings[-1] else (places[0], x[0])
            rings[-1] += _curve(start, list(zip(places[: len(x)], x, strict=True)))
        at += step + 1
    return join_rings([np.array(ring) for ring in rings if ring])


def _curve(start: tuple[float, float], places: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Give points of a Bezier curve after its start; of a line its end."""
    if len(places) == 1:
        return places
    control, n = [start, *places], len(places)
    weights = [[math.comb(n, i) * t**i * (1 - t) ** (n - i) for i in range(n + 1)] for t in (1 / 3, 2 / 3, 1)]
    return [tuple(sum(w * p[axis] for w, p in zip(row, control, strict=True)) for axis in (0, 1))  # type: ignore[misc]
            for row in weights]


def _ellipse(top: float, left: float, bottom: float, right: float) -> NDArray[np.float64]:
    """Give an ellipse as an outline with about a corner a pixel."""
    angle = np.linspace(0, 2 * np.pi, int(np.clip(4 * max(bottom - top, right - left), 16, 4096)), endpoint=False)
    y, x = (top + bottom) / 2, (left + right) / 2
    return np.stack([y - np.cos(angle) * (bottom - top) / 2, x + np.sin(angle) * (right - left) / 2], axis=1)


def _said(data: bytes, second: int) -> dict[str, str]:
    """Give the properties of a region, lines of "name: value" at the place that the second header names."""
    place, length = struct.unpack_from(">ii", data, second + 40)
    if not (place > 0 and length > 0 and place + 2 * length <= len(data)):
        return {}
    text = data[place : place + 2 * length].decode("utf-16-be", errors="replace")
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}


def write(path: Path, annotation: Annotation) -> Mapping[str, int]:
    """Write a zip of regions named by their ids, class and score as properties of each."""
    objects = annotation.objects
    if path.suffix.lower() == ".roi":
        raise AnswerError("a .roi file holds one region", str(path), "write .zip, as ImageJ's ROI Manager does")
    kinds, scores, labels = (objects[name].tolist() for name in ("class", "score", "label"))
    edges = objects[["top", "left", "bottom", "right", "y", "x"]].to_numpy()
    lost: Counter[str] = Counter()
    left = np.ones(len(objects), bool)
    width = max(4, len(str(max(labels, default=0))))
    with replacing(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:

        def add(row: int, kind: int, rings: list[NDArray[np.float64]]) -> None:
            said = {CLASS: kinds[row], SCORE: "" if math.isnan(scores[row]) else repr(scores[row])}
            name = f"{labels[row]:0{width}}"
            archive.writestr(name + ".roi", _packed(kind, rings, name, {k: v for k, v in said.items() if v}))

        for row, parts in outlined(annotation, str(path)):
            left[row] = False
            add(row, POLYGON, [ring for one in parts for ring in one])
        for row in np.flatnonzero(left).tolist():
            top, low, bottom, high, y, x = edges[row]
            point = math.isnan(top)
            corners = [[y + 0.5, x + 0.5]] if point else [[top, low], [top, high], [bottom, high], [bottom, low]]
            add(row, POINT if point else POLYGON, [np.array(corners)])
            lost["boxes written as outlines"] += not point
    return lost


def _packed(kind: int, rings: list[NDArray[np.float64]], name: str, said: Mapping[str, str]) -> bytes:
    """Lay out a region; of several rings as a composite, and where short numbers do not do, in floats."""
    points = np.concatenate(rings)
    low, high = np.floor(points.min(axis=0)), np.ceil(points.max(axis=0))
    whole = kind != POINT and (points == np.round(points)).all() and high.max() < 2**15 and low.min() >= -(2**15)
    # Floats hold places to a sixteenth up to a million pixels; the box is only a hint where it does not fit.
    top, left, bottom, right = (int(np.clip(edge, -(2**15), 2**15 - 1)) for edge in (*low, *high))
    composite, count, body = 0, 0, b""
    if len(rings) > 1:
        path = [np.column_stack([np.r_[0.0, np.ones(len(ring) - 1)], ring[:, 1], ring[:, 0]]) for ring in rings]
        body = b"".join(one.astype(">f4").tobytes() + struct.pack(">f", 4) for one in path)
        composite, kind = len(body) // 4, RECTANGLE
    else:
        count = len(points)
        short = np.clip(points - [top, left], -(2**15), 2**15 - 1).T[::-1]
        body = short.astype(">i2").tobytes() + (b"" if whole else points.T[::-1].astype(">f4").tobytes())
    options = 0 if whole or composite else SUBPIXEL
    many = struct.pack(">i", count) if count >= 2**16 else bytes(4)
    text = "".join(f"{key}: {value}\n" for key, value in said.items()).encode("utf-16-be")
    title = name.encode("utf-16-be")
    second = HEADER + len(body)
    place = second + SECOND
    header = struct.pack(">4shBxhhhhH4s12xhiiihhii", MAGIC, VERSION, kind, top, left, bottom, right,
                         count if count < 2**16 else 0, many, 0, composite, 0, 0, 0, options, 0, 0)  # fmt: skip
    header = header[:56] + struct.pack(">ii", 0, second)
    extra = struct.pack(">4i2i", 0, 0, 0, 0, place, len(title) // 2).ljust(40, b"\0")
    extra += struct.pack(">ii", place + len(title) if text else 0, len(text) // 2)
    return header + body + extra.ljust(SECOND, b"\0") + title + text
