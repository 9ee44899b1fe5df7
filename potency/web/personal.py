"""What in a file could name a person, a place or a device: found, and taken out with the pixels left as they are."""

from __future__ import annotations

import math
import mmap
import secrets
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from potency.errors import ImageError, MissingExtra
from potency.web import tifftags

if TYPE_CHECKING:
    from potency.data.image import Image

PROVED = 2**25  # pixels that are compared before and after; of larger images the header is
# All that is kept of a PNG (ISO/IEC 15948, 11): pixels, their meaning, their size.
PNG_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"pHYs", b"gAMA", b"cHRM", b"sRGB", b"sBIT", b"IDAT", b"IEND")
PNG_SAID = {b"eXIf": "EXIF", b"tEXt": "text", b"zTXt": "text", b"iTXt": "text", b"tIME": "time", b"iCCP": "profile"}
JPEG_SAID = {0xE1: "EXIF or XMP", 0xED: "IPTC", 0xFE: "comment"}
WEBP_SAID = {b"EXIF": "EXIF", b"XMP ": "XMP"}
HARMLESS = ("program", "profile")  # said where they were taken out, no reason to warn
LARGEST = 2**29  # bytes of a PNG, JPEG or WebP
ELSEWHERE = "convert it to OME-TIFF and bring that, or bring it as it is"


def personal(path: Path) -> list[str]:
    """What a file holds beside pixels that could name somebody, in words for a kind of it, never the values.

    Slides and files of microscopes, which are not looked into, are not judged.
    """
    try:
        kind = _kind(path)
        told = _dicom(path) if kind == "dicom" else _rewritten(path, kind) if kind not in ("", "plain") else []
        return [each for each in told if each not in HARMLESS]
    except (ImageError, MissingExtra, struct.error, IndexError, ValueError):
        return []


def stripped(path: Path) -> list[str]:
    """Rewrite a file without those parts; what went, in words. Pixels, their size and the channels' names stay.

    Raises:
        ImageError: that cannot be done for this kind of file, or its pixels would change: it is then as it was.
        MissingExtra: DICOM, and pydicom is not installed.
    """
    kind = _kind(path)
    if not kind:
        raise ImageError("what could name a person cannot be taken out of this kind of file", path.name, ELSEWHERE)
    if kind == "plain":
        return []
    part = path.with_name(f".{secrets.token_hex(4)}{path.suffix}")
    try:
        try:
            told = _dicom(path, part) if kind == "dicom" else _rewritten(path, kind, part)
        except (struct.error, IndexError, ValueError) as error:
            raise ImageError("what could name a person cannot be taken out: the file is odd", path.name,
                             ELSEWHERE) from error  # fmt: skip
        _prove(path, part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return told


def _prove(before: Path, after: Path) -> None:
    """Refuse a rewritten file of which anything that counts is not as it was."""
    from potency.data.readers import open_image

    old, new = open_image(before), open_image(after)
    same = all(_told(old)[name] == _told(new)[name] for name in _told(old))
    if same and math.prod(old.shape) <= PROVED:
        same = bool(np.array_equal(old[{}], new[{}], equal_nan=old.dtype.kind == "f"))
    if not same:
        raise ImageError("what could name a person cannot be taken out without changing the image", before.name,
                         ELSEWHERE)  # fmt: skip


def _told(image: Image) -> Mapping[str, Any]:
    size = image.pixel_size
    return {"axes": image.axes, "shape": image.shape, "dtype": image.dtype, "channels": image.channels,
            "size": None if size is None else {axis: round(value, 9) for axis, value in size.items()}}  # fmt: skip


def _kind(path: Path) -> str:
    """The family of a file by its content; "plain" holds nothing but pixels, "" is not known here."""
    if path.is_dir():
        return ""
    with path.open("rb") as file:
        head = file.read(132)
    magics = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg", b"II": "tiff", b"MM": "tiff", b"BM": "plain",
              b"\x93NUMPY": "plain"}  # fmt: skip
    if head[128:] == b"DICM":
        return "dicom"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    return next((kind for magic, kind in magics.items() if head.startswith(magic)), "")


def _rewritten(path: Path, kind: str, into: Path | None = None) -> list[str]:
    """What a file holds beside pixels; written without it where `into` is given."""
    if kind == "tiff":  # mapped, not read: of a large file only what changes takes memory
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as made:
            tail, told = tifftags.without(made)
            if into is not None:
                with into.open("wb") as written:
                    written.write(made)
                    written.write(tail)
    elif path.stat().st_size > LARGEST:
        raise ValueError("too large to be rewritten in memory")
    else:
        rewrite: Mapping[str, Callable[[bytes], tuple[bytes, list[str]]]] = {"png": _png, "jpeg": _jpeg, "webp": _webp}
        data, told = rewrite[kind](path.read_bytes())
        if into is not None:
            into.write_bytes(data)
    return sorted(set(told))


def _png(data: bytes) -> tuple[bytes, list[str]]:
    made, told, at = bytearray(data[:8]), list[str](), 8
    while at < len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if name in PNG_KEPT:
            made += data[at:end]
        else:
            told.append(PNG_SAID.get(name, "notes"))
        at = end
        if name == b"IEND":
            break
    if at < len(data):
        told.append("notes")  # behind the end, where some programs write theirs
    return bytes(made), told


def _jpeg(data: bytes) -> tuple[bytes, list[str]]:
    """Segments but for those of programs; JFIF, colour profile and Adobe's colour model stay (ITU-T T.81, B)."""
    made, told, at = bytearray(b"\xff\xd8"), list[str](), 2
    while True:
        if data[at] != 0xFF:
            raise ValueError("no segment")
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker == 0xD9:
            made += b"\xff\xd9"
            return bytes(made), [*told, *(["notes"] if at + 2 < len(data) else [])]
        (length,) = struct.unpack_from(">H", data, at + 2)
        end = at + 2 + length
        inside = data[at + 4 : end]
        if marker == 0xE0 and inside[:5] == b"JFIF\0":
            made += b"\xff\xe0\x00\x10" + inside[:12] + b"\0\0"  # without the small picture that it may hold
        elif marker == 0xE2 and inside[:12] == b"ICC_PROFILE\0" or marker == 0xEE and inside[:5] == b"Adobe":
            made += data[at:end]
        elif 0xE0 <= marker <= 0xEF or marker == 0xFE:
            told.append(JPEG_SAID.get(marker, "notes"))
        else:
            made += data[at:end]
        at = end
        if marker == 0xDA:  # the pixels run to the next marker that is none of theirs
            stop = at
            while data[stop] != 0xFF or data[stop + 1] in (0, *range(0xD0, 0xD8)):
                stop = data.index(b"\xff", stop + 1)
            made += data[at:stop]
            at = stop


def _webp(data: bytes) -> tuple[bytes, list[str]]:
    made, told, at = bytearray(), list[str](), 12
    while at + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, at)
        end = at + 8 + length + length % 2
        if name in WEBP_SAID:
            told.append(WEBP_SAID[name])
        elif name in (b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ICCP"):
            piece = bytearray(data[at:end])
            if name == b"VP8X":
                piece[8] &= ~0x0C  # it has neither EXIF nor XMP
            made += piece
        else:
            told.append("notes")
        at = end
    return b"RIFF" + struct.pack("<I", 4 + len(made)) + b"WEBP" + bytes(made), told


def _dicom(path: Path, into: Path | None = None) -> list[str]:
    """What a DICOM file says beside its picture; written without it where `into` is given. New ids, no dates.

    Only the tags that make the picture are kept (those that the reader reads, and what the format demands), so no
    list of tags that name a patient has to be complete.
    """
    from potency.data.readers.dicom import TAGS, damaged, silence
    from potency.data.readers.planes import extra

    pydicom, uid = extra("pydicom"), extra("pydicom.uid")
    with silence():
        try:
            data = pydicom.dcmread(path)
            kept = (*TAGS, "PixelData", "SmallestImagePixelValue", "LargestImagePixelValue", "LossyImageCompression",
                    "PixelAspectRatio", "Modality", "RescaleIntercept", "RescaleType")  # fmt: skip
            gone = [one for one in data if one.keyword not in kept and one.keyword not in IDS]
            patient = any(one.tag.group == 0x10 for one in gone)
            told = ["patient"] if patient else []
            told += ["examination, place or device"] if len(gone) > patient else []
            if into is None:
                return told
            for one in gone:
                del data[one.tag]
            for name in IDS:
                if name in data:
                    setattr(data, name, uid.generate_uid(prefix=None))
            for one in list(data.file_meta):
                if one.keyword not in ("TransferSyntaxUID", "MediaStorageSOPClassUID", "FileMetaInformationVersion"):
                    del data.file_meta[one.tag]
            data.file_meta.MediaStorageSOPInstanceUID = data.get("SOPInstanceUID", uid.generate_uid(prefix=None))
            data.preamble = bytes(128)
            for sequence in ("SharedFunctionalGroupsSequence", "PixelMeasuresSequence"):
                _bare(data, sequence)
            data.save_as(into, enforce_file_format=True)
            return told
        except Exception:
            raise damaged(path.name, "header") from None  # the reason could quote a tag


IDS = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")


def _bare(data: Any, name: str) -> None:
    """Leave nothing in a nested group but the size of a pixel."""
    for item in data.get(name) or ():
        for one in list(item):
            if one.keyword not in ("PixelMeasuresSequence", "PixelSpacing"):
                del item[one.tag]
        _bare(item, "PixelMeasuresSequence")
