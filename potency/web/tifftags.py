"""Tags of a TIFF that could name a person, place or device: taken out in place, so that no pixel moves."""

from __future__ import annotations

import json
import re
import struct
from dataclasses import dataclass
from mmap import mmap
from xml.etree import ElementTree

# All that is kept: what lays out and colours the pixels (TIFF 6.0; supplements; OME, ImageJ, SVS need no more).
KEPT = {
    *range(254, 260), 262, 263, 264, 265, 266, *range(273, 275), *range(277, 285), *range(290, 298), *range(301, 302),
    *range(317, 326), 330, *range(332, 335), *range(336, 348), 400, *range(512, 522), *range(529, 533), 32995, 32996,
    32997, 32998, 33421, 33422, 34675, 34676, 34677, 37439, 50674, 50713, 50714, 50717,
}  # fmt: skip
SAID = {
    270: "description", 271: "device", 272: "device", 305: "program", 306: "time", 315: "owner", 316: "device",
    700: "XMP", 33432: "owner", 33723: "IPTC", 34377: "notes", 34665: "EXIF", 34853: "place (GPS)", 50838: "notes",
    50839: "notes", 50735: "device",
}  # fmt: skip
POINTING = (330, 34665, 34853, 40965)  # tags whose values are places of other lists of tags
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
LISTS = 100_000  # lists of tags in a file; a stack of so many planes is none that is uploaded
LSM, DESCRIPTION = 34412, 270
IMAGEJ = ("ImageJ", "images", "channels", "slices", "frames", "hyperstack", "mode", "unit", "yunit", "zunit", "spacing",
          "finterval", "tunit", "loop", "min", "max", "axes")  # fmt: skip
SHAPED = ("shape", "axes", "PhysicalSizeX", "PhysicalSizeY", "PhysicalSizeZ", "PhysicalSizeXUnit", "PhysicalSizeYUnit",
          "PhysicalSizeZUnit", "Channel")  # fmt: skip
# Of OME-XML: the elements on the way to the pixels, and their attributes.
OME = {
    "OME": (), "Image": ("ID",), "TiffData": ("IFD", "PlaneCount", "FirstC", "FirstT", "FirstZ"),
    "Channel": ("ID", "Name", "SamplesPerPixel", "Color"),
    "Pixels": ("ID", "DimensionOrder", "Type", "SizeX", "SizeY", "SizeZ", "SizeC", "SizeT", "BigEndian", "Interleaved",
               "SignificantBits", "PhysicalSizeX", "PhysicalSizeY", "PhysicalSizeZ", "PhysicalSizeXUnit",
               "PhysicalSizeYUnit", "PhysicalSizeZUnit", "TimeIncrement", "TimeIncrementUnit"),
}  # fmt: skip


@dataclass(frozen=True)
class Form:
    """How numbers are written: classic TIFF or BigTIFF, of either byte order."""

    order: str
    big: bool

    @property
    def offset(self) -> str:
        return self.order + ("Q" if self.big else "I")

    @property
    def number(self) -> str:
        return self.order + ("Q" if self.big else "H")

    @property
    def entry(self) -> str:
        return self.order + ("HHQ8s" if self.big else "HHI4s")

    @property
    def inline(self) -> int:
        return 8 if self.big else 4


def without(made: bytearray | mmap) -> tuple[bytes, list[str]]:
    """Take such tags out of a file in memory; what is to be written behind its end, and what they were.

    Their values are zeros where they stood.

    Raises:
        ValueError, struct.error, IndexError: the lists of tags are odd, or the file is of a kind that hides a picture
            of a label (slides) or needs its private tags (LSM).
    """
    form = Form("<" if made[:2] == b"II" else ">", made[2:4] in (b"+\0", b"\0+"))
    tail, told = bytearray(len(made) % 2), list[str]()
    (first,) = struct.unpack_from(form.offset, made, 8 if form.big else 4)
    waiting, seen = [(first, False)], set[int]()
    while waiting:
        at, hidden = waiting.pop()
        while at:
            if at in seen or len(seen) > LISTS:
                raise ValueError("lists of tags in a circle, or too many")
            seen.add(at)
            at, inner, words = _list(made, tail, form, at, hidden)
            waiting += inner
            told += words
    return bytes(tail), told


def _list(
    made: bytearray | mmap, tail: bytearray, form: Form, at: int, hidden: bool
) -> tuple[int, list[tuple[int, bool]], list[str]]:
    """Clean one list of tags (one that only notes hang on is `hidden`: all of it goes).

    Returns: the place of the next list, those within this one, and what went.
    """
    waiting, told = list[tuple[int, bool]](), list[str]()
    (count,) = struct.unpack_from(form.number, made, at)
    begin, size = at + struct.calcsize(form.number), struct.calcsize(form.entry)
    end = begin + count * size
    if end + form.inline > len(made):
        raise ValueError("a list of tags runs over the end")
    (after,) = struct.unpack_from(form.offset, made, end)
    kept = []
    for place in range(begin, end, size):
        tag, kind, number, value = struct.unpack_from(form.entry, made, place)
        if tag == LSM:
            raise ValueError("an LSM stack needs its private tags")
        length = SIZES.get(kind, 1) * number
        where = place + size - form.inline if length <= form.inline else int(struct.unpack(form.offset, value)[0])
        if where + length > len(made):
            raise ValueError("a value runs over the end")
        if tag in POINTING:
            letter = {8: "Q", 4: "I"}.get(SIZES.get(kind, 0))
            if letter is None:
                raise ValueError("a place of an odd kind")
            for to in struct.unpack_from(f"{form.order}{number}{letter}", made, where):
                waiting.append((to, hidden or tag != 330))
        if tag == DESCRIPTION and not hidden:
            text = bytes(made[where : where + length])
            short = described(text.rstrip(b"\0").decode("utf-8", "replace")).encode()
            if short.rstrip() != text.rstrip(b"\0").strip():
                told.append(SAID[tag])
            if short:
                kept.append(_text(made, tail, form, where, length, short))
                continue
        elif tag in KEPT and not hidden:
            kept.append(bytes(made[place : place + size]))
            continue
        else:
            told.append(SAID.get(tag, "notes"))
        made[where : where + length] = bytes(length)
    rest = b"".join(kept) + struct.pack(form.offset, after)
    made[at:begin] = struct.pack(form.number, len(kept))
    made[begin : end + form.inline] = rest.ljust(end + form.inline - begin, b"\0")
    return int(after), waiting, told


def _text(made: bytearray | mmap, tail: bytearray, form: Form, where: int, length: int, short: bytes) -> bytes:
    """The entry of a shorter description; it is written over the old one, or behind the end where it is longer."""
    if len(short) + 1 <= length:
        made[where : where + length] = short.ljust(length, b"\0")
    else:
        made[where : where + length] = bytes(length)
        where, length = len(made) + len(tail), len(short) + 1
        tail += short + bytes(1 + (len(short) + 1) % 2)
    inline = length <= form.inline
    value = bytes(made[where : where + length]).ljust(form.inline, b"\0") if inline else struct.pack(form.offset, where)
    return struct.pack(form.entry, DESCRIPTION, 2, length, value)


def described(text: str) -> str:
    """Of a description what the pixels need: axes, their size, names of channels.

    >>> described("ImageJ=1.54\\nslices=3\\nunit=um\\nInfo=patient 7\\n"), described("Mara's stem cells")
    ('ImageJ=1.54\\nslices=3\\nunit=um\\n', '')

    Raises:
        ValueError: a slide, which holds a picture of its label.
    """
    if text.startswith("Aperio"):
        raise ValueError("a slide holds a picture of its label")
    if text.startswith("ImageJ="):
        lines = [line for line in text.splitlines() if line.partition("=")[0] in IMAGEJ]
        return "\n".join(lines) + "\n"
    if text.startswith("{"):
        try:
            found = json.loads(text)
        except ValueError:
            return ""
        known = {name: found[name] for name in SHAPED if name in found}
        if "Channel" in known:
            known["Channel"] = {"Name": known["Channel"].get("Name")} if isinstance(known["Channel"], dict) else None
        return json.dumps(known)
    if "<OME" in text[:2000] or "<ome:OME" in text[:2000]:
        return _ome(text)
    return ""


def _ome(text: str) -> str:
    if "<!" in re.sub(r"<!--.*?-->", "", text, flags=re.S):  # entities: no OME-XML has them
        return ""
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return ""
    space = root.tag.partition("}")[0].strip("{") if root.tag.startswith("{") else ""
    made = _copied(root, True)
    if space:
        made.set("xmlns", space)
    return '<?xml version="1.0" encoding="UTF-8"?>' + ElementTree.tostring(made, encoding="unicode")


def _copied(node: ElementTree.Element, outer: bool = False) -> ElementTree.Element:
    name = node.tag.rpartition("}")[2]
    made = ElementTree.Element(name, {key: node.attrib[key] for key in OME[name] if key in node.attrib})
    made.extend(_copied(child) for child in node if child.tag.rpartition("}")[2] in OME)
    return made
