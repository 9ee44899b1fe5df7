"""YOLO text: a line an object, the number of its class and a box or outline as fractions of the image."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from potency.data.masks.annotation import Annotation, Shape, needed
from potency.data.masks.disk import replacing, text_of
from potency.data.masks.fill import split_rings
from potency.data.masks.outlined import Drawing, outlined
from potency.errors import AnswerError

suffixes = (".txt",)
LIMIT = 2**28  # bytes
NAMES = "classes.txt"
NUMBERS = re.compile(rb"[\d.\s+\-eE]+")


def recognises(path: Path, head: bytes) -> bool:
    """Say whether a text file holds nothing but numbers, whole ones in front."""
    head = head.removeprefix(b"\xef\xbb\xbf")
    lines = [line.split() for line in head[:4096].rsplit(b"\n", 1)[0].splitlines() if line.strip()]
    if path.suffix.lower() == ".txt" and not head:
        return path.is_file()
    return (path.suffix.lower() == ".txt" and bool(lines) and all(NUMBERS.fullmatch(line) for line in head.split())
            and all(line[0].isdigit() and len(line) >= 5 for line in lines))  # fmt: skip


def read(path: Path, name: str | None, shape: Shape | None) -> Annotation:
    """Read lines of `class y...`: four numbers are a box (five: with its score), six or more an outline."""
    height, width = needed(shape, str(path), "YOLO gives places as fractions of it")[-2:]
    kinds = _names(path)
    drawing = Drawing((height, width), str(path))
    for number, line in enumerate(text_of(path, LIMIT).splitlines(), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            kind, *places = line.split()
            index, values = int(float(kind)), [float(place) for place in places]
        except (ValueError, OverflowError) as error:
            raise AnswerError(f"{line[:40]!r} is no line of YOLO", where,
                              "a line is: class x y width height") from error
        title = kinds[index] if 0 <= index < len(kinds) else str(index)
        if len(values) in (4, 5):
            x, y, across, down = np.array(values[:4]) * [width, height, width, height]
            score = values[4] if len(values) == 5 else np.nan
            drawing.box((y - down / 2, x - across / 2, y + down / 2, x + across / 2), title, score)
        elif len(values) >= 6 and len(values) % 2 == 0:
            drawing.outline(np.array(values).reshape(-1, 2)[:, ::-1] * [height, width], title)
        else:
            raise AnswerError(f"{len(values)} numbers after the class are neither box nor outline", where,
                              "a line is: class x y width height, or: class x1 y1 x2 y2 x3 y3 ...")
    return drawing.done()


def _names(path: Path) -> list[str]:
    """Give the names of the classes, one a line in a file beside or one folder up; an empty line counts as one."""
    for folder in (path.parent, path.parent.parent):
        if (folder / NAMES).is_file():
            return [line.strip() for line in text_of(folder / NAMES, 2**20).rstrip().splitlines()]
    return []


def write(path: Path, annotation: Annotation) -> Mapping[str, int]:
    """Write outlines where there are any, else boxes with their scores; new classes are added to `classes.txt`."""
    height, width = needed(annotation.shape, str(path), "YOLO gives places as fractions of it")[-2:]
    objects = annotation.objects
    kinds = _names(path)
    own = [" ".join(kind.split()) or "object" for kind in objects["class"]]  # a name is one line
    used = list(dict.fromkeys(own))
    added = [kind for kind in used if kind not in kinds]
    lost = {"points left out": 0, "holes and further parts left out": 0, "scores of outlines left out": 0}
    lines: dict[int, str] = {}
    index = [[*kinds, *added].index(kind) for kind in own]
    scores = objects["score"].tolist()
    for row, parts in outlined(annotation, str(path)):
        ring = max((part[0] for part in parts), key=len)
        lost["holes and further parts left out"] += sum(map(len, parts)) > 1
        lost["scores of outlines left out"] += scores[row] == scores[row]
        lines[row] = _line(index[row], split_rings(ring)[0][:, ::-1] / [width, height])
    for row, (top, left, bottom, right) in enumerate(objects[["top", "left", "bottom", "right"]].to_numpy()):
        if row in lines or np.isnan(top):
            lost["points left out"] += row not in lines
            continue
        box = np.array([left + right, top + bottom, 2 * (right - left), 2 * (bottom - top)]) / 2
        score = [scores[row]] if scores[row] == scores[row] else []
        lines[row] = _line(index[row], np.append(box / [width, height, width, height], score))
    with replacing(path) as part:
        part.write_text("".join(lines[row] for row in sorted(lines)), "utf-8")
    if added:
        there = path.parent.parent if (path.parent.parent / NAMES).is_file() and kinds else path.parent
        with replacing(there / NAMES) as part:
            part.write_text("".join(f"{kind}\n" for kind in [*kinds, *added]), "utf-8")
    return lost


def _line(kind: int, numbers: np.ndarray) -> str:
    # Nine digits place a corner to a ten-thousandth of a pixel in the widest slide.
    return " ".join([str(kind), *(f"{number:.9g}" for number in numbers.reshape(-1))]) + "\n"
