"""Pascal VOC XML: boxes with classes, counted from 1 and with their last pixel; no entity is ever followed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from xml.parsers import expat
from xml.sax.saxutils import escape

from potency.data.masks.annotation import BOX, Annotation, Shape, agreed
from potency.data.masks.disk import replacing
from potency.data.masks.outlined import Drawing
from potency.errors import AnswerError

suffixes = (".xml",)
LIMIT = 2**26  # bytes
DEEP = 32  # elements within elements; VOC has four
Place = dict[str, str]


def recognises(path: Path, head: bytes) -> bool:
    """Say whether it is XML that begins an annotation, or is named XML."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    return text.startswith(b"<") and (b"<annotation" in text or path.suffix.lower() == ".xml")


def read(path: Path, name: str | None, shape: Shape | None) -> Annotation:
    """Read boxes: xmin 1 and xmax 3 are the first three pixels, as in the challenge's own programs."""
    objects, size, root = _elements(path)
    if root != "annotation":
        raise AnswerError(f"this XML is of <{root[:40]}>, not of a VOC <annotation>", str(path),
                          "name the file with the boxes")
    known: Shape | None = None
    try:
        known = (int(size["height"]), int(size["width"])) if {"height", "width"} <= set(size) else None
    except ValueError as error:
        raise AnswerError(f"the size of the image is no number: {size}", str(path), "correct <size>") from error
    # Some programs leave the size at 0 where they did not look.
    known = known if known and min(known) > 0 else None
    drawing = Drawing(agreed(known, shape[-2:] if shape else None, str(path)), str(path))
    for number, one in enumerate(objects, 1):
        try:
            left, top, right, bottom = (float(one[edge]) for edge in ("xmin", "ymin", "xmax", "ymax"))
        except (KeyError, ValueError) as error:
            raise AnswerError(f"object {number} ({one.get('name', 'without a name')}) has no box of four numbers",
                              str(path), "correct its <bndbox>") from error
        score = one.get("score") or one.get("confidence") or "nan"
        drawing.box((top - 1, left - 1, bottom, right), one.get("name", ""), float(score))
    return drawing.done()


def _elements(path: Path) -> tuple[list[Place], Place, str]:
    """Give the texts of each object and of the size, by the names of their elements, and the outermost element."""
    if path.stat().st_size > LIMIT:
        raise AnswerError(f"the XML has more than {LIMIT // 2**20} MiB", str(path), "is it the right file?")
    objects, size = list[Place](), Place()
    stack, text = list[str](), list[str]()

    def begin(name: str, attributes: object) -> None:
        stack.append(name)
        text.clear()
        if len(stack) > DEEP:
            raise AnswerError("the XML is nested too deeply", str(path), "it is damaged, or made to do harm")
        if stack[1:] == ["object"]:
            objects.append({})

    def end(name: str) -> None:
        said = "".join(text).strip()
        text.clear()
        if stack[1:2] == ["object"] and stack[2:] in ([name], ["bndbox", name]):
            objects[-1][name] = said
        if stack[1:] == ["size", name]:
            size[name] = said
        roots.append(stack.pop())

    def refuse(*_: object) -> None:
        raise AnswerError("the XML declares a document type or entities, which could be made to do harm", str(path),
                          "remove the <!DOCTYPE ...> at its top: VOC files need none")

    roots: list[str] = []
    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = begin, end, text.append
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(path.read_bytes(), True)
    except (expat.ExpatError, LookupError, ValueError) as error:  # the last two: of an encoding that nobody knows
        raise AnswerError(f"the XML is damaged or cut short: {error}", str(path), "copy or export it again") from error
    return objects, size, roots[-1]


def write(path: Path, annotation: Annotation) -> Mapping[str, int]:
    """Write the boxes of all objects, those of labels too."""
    objects = annotation.objects
    size = annotation.shape[-2:] if annotation.shape else None
    lines = ["<annotation>", f"  <filename>{escape(path.stem)}</filename>"]
    if size:
        lines.append(f"  <size><width>{size[1]}</width><height>{size[0]}</height><depth>1</depth></size>")
    for kind, score, *box in zip(*(objects[name].tolist() for name in ("class", "score", *BOX)), strict=True):
        if math.isnan(box[0]):
            continue
        worth = "" if math.isnan(score) else f"<score>{score!r}</score>"
        edges = zip(("ymin", "xmin", "ymax", "xmax"), (box[0] + 1, box[1] + 1, box[2], box[3]), strict=True)
        places = "".join(f"<{name}>{edge:.9g}</{name}>" for name, edge in edges)
        plain = "".join(sign for sign in kind if sign.isprintable())
        lines.append(f"  <object><name>{escape(plain)}</name>{worth}<bndbox>{places}</bndbox></object>")
    with replacing(path) as part:
        part.write_text("\n".join([*lines, "</annotation>"]) + "\n", "utf-8")
    return {
        "points left out": int(objects["top"].isna().sum()),
        "outlines written as boxes": len(objects) if annotation.labels is not None or "polygon" in objects else 0,
    }
