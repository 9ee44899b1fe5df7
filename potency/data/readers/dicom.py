"""Read DICOM images through the library `pydicom`: pixels and their size, and no tag that could name a patient."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potency.data.pixels import believable
from potency.data.readers.planes import Planes, extra
from potency.data.readers.resolution import in_um
from potency.errors import ImageError

suffixes = (".dcm", ".dicom")

# All that is ever parsed: a tag that is not in this list is skipped unread, so that none can end in a message or a log.
TAGS = [
    "SOPClassUID", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated",
    "BitsStored", "HighBit", "PixelRepresentation", "PlanarConfiguration", "PixelSpacing", "ImagerPixelSpacing",
    "SpacingBetweenSlices", "FrameTime", "FrameTimeVector", "RescaleSlope", "TotalPixelMatrixRows",
    "SharedFunctionalGroupsSequence", "PixelMeasuresSequence", "FloatPixelData", "DoubleFloatPixelData",
]  # fmt: skip
OTHERS = ("PALETTE COLOR", "HSV", "ARGB", "CMYK", "YBR_PARTIAL_422", "YBR_PARTIAL_420", "XYB")  # said, others are not
MODELS = ("MONOCHROME1", "MONOCHROME2", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")


def recognises(path: str, head: bytes) -> bool:
    """Say whether the first bytes are a DICOM preamble."""
    return head[128:132] == b"DICM"


def open(path: str, head: bytes, size: int, pages: str | None = None, series: int = 0) -> Dicom:
    """Open a file; its frames are time points or planes where it says so, else `pages` says what they are."""
    pydicom = extra("pydicom")
    with silence():
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=TAGS)
            return Dicom((path, b"", size, pages, series), header)
        except ImageError:
            raise
        except Exception:
            raise damaged(path, "header") from None  # the reason could quote a tag


@contextmanager
def silence() -> Iterator[None]:
    """Let the library say nothing in this thread: of a damaged file its warnings quote what it took for a value."""
    logger, here = logging.getLogger("pydicom"), threading.get_ident()

    def elsewhere(record: logging.LogRecord) -> bool:
        return record.thread != here

    logger.addFilter(elsewhere)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.removeFilter(elsewhere)


def damaged(path: str, part: str) -> ImageError:
    """Say that a file cannot be read, without what the library says, which may quote a patient's tags."""
    return ImageError(f"the {part} of the DICOM file cannot be decoded", path,
                      "the file is damaged, or compressed in a way not known here; copy or export it again")


class Dicom(Planes):
    """The pixels of one file, as stored; frames one by one."""

    def __init__(self, again: tuple[Any, ...], header: Any) -> None:
        path = str(again[0])
        if "TotalPixelMatrixRows" in header:
            raise ImageError("this DICOM file is a level of a slide in tiles, which is not read", path,
                             "convert the slide to OME-TIFF or SVS")
        model, samples = str(header.PhotometricInterpretation), int(header.SamplesPerPixel)
        if model not in MODELS or "FloatPixelData" in header or "DoubleFloatPixelData" in header:
            kind = model if model in (*MODELS, *OTHERS) else "unknown"
            raise ImageError(f"DICOM pixels of the kind {kind} are not read", path,
                             "save the image as grey or RGB")
        bits = int(header.BitsAllocated)
        dtype = np.dtype(f"{'i' if int(header.get('PixelRepresentation', 0)) else 'u'}{max(8, bits) // 8}")
        frames = int(header.get("NumberOfFrames") or 1)
        timed, deep = "FrameTime" in header or "FrameTimeVector" in header, "SpacingBetweenSlices" in header
        letter = "T" if timed else "Z" if deep else "Q"  # Q: for `pages` to say
        letters = (letter if frames > 1 else "") + "YX" + ("S" if samples > 1 else "")
        sizes = {letter: frames, "Y": int(header.Rows), "X": int(header.Columns), "S": samples}
        notes = ["white is zero, values left as stored"] if model == "MONOCHROME1" else []
        if float(header.get("RescaleSlope", 1) or 1) != 1:
            notes.append("stored values, not rescaled")
        super().__init__(again, open, letters, [sizes[a] for a in letters], dtype,
                         {"pixel_size": spacing(header), "notes": notes})

    def plane(self, at: Mapping[str, int], rows: slice, columns: slice) -> NDArray[Any]:
        decode = extra("pydicom.pixels").pixel_array
        with silence():
            try:
                frame = np.asarray(decode(self.path, index=next(iter(at.values()), 0)))
            except Exception:
                raise damaged(self.path, "pixels") from None
        return np.array(frame[rows, columns])


def spacing(header: Any) -> dict[str, float] | None:
    """Give um of a pixel from the spacing in the patient, else on the detector, in mm (PS3.3, 10.7.1.3)."""
    shared = header.get("SharedFunctionalGroupsSequence") or [{}]
    measures = (shared[0].get("PixelMeasuresSequence") or [{}])[0]
    found = header.get("PixelSpacing") or measures.get("PixelSpacing") or header.get("ImagerPixelSpacing")
    if not found or len(found) != 2:
        return None
    sizes = {"Y": in_um(found[0], "mm"), "X": in_um(found[1], "mm")}
    return believable({"Z": in_um(header.get("SpacingBetweenSlices"), "mm"), **sizes})
