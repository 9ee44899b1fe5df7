"""Masks as files, as patches for a browser, and as boxes in the log of changes."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from potency.web.correcting.strokes import Box, Labels


@dataclass(frozen=True)
class Patch:
    """New pixels of a box: `runs` are pairs of a label and how often it comes, row by row."""

    top: int
    left: int
    height: int
    width: int
    runs: list[int]


def patch(labels: Labels, box: Box) -> Patch:
    """The pixels of a box as runs.

    >>> patch(np.array([[0, 7, 7], [7, 0, 0]], np.uint32), (0, 1, 2, 3)).runs
    [7, 2, 0, 2]
    """
    part = labels[box[0] : box[2], box[1] : box[3]]
    flat = part.ravel()
    starts = np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1])
    lengths = np.diff(np.append(starts, flat.size))
    runs = np.stack([flat[starts].astype(np.int64), lengths], axis=1).ravel().tolist() if flat.size else []
    return Patch(box[0], box[1], part.shape[0], part.shape[1], runs)


def read(place: Path, mask: str, shape: tuple[int, int]) -> Labels:
    """A mask that was written, of its own in memory; "" is one without cells."""
    if not mask:
        return np.zeros(shape, np.uint32)
    from potency.data.masks import read as annotation

    found = annotation(place / mask, shape=shape).labels
    assert found is not None
    return np.array(found, np.uint32)


def write(place: Path, labels: Labels, name: str) -> str:
    """Write a mask beside all others, whole or not at all; its path from `place`."""
    from potency.answers.files import write_pixels

    return write_pixels(labels, place, name)


def count(labels: Labels) -> int:
    """How many cells a mask has.

    >>> count(np.array([[0, 7, 7], [9, 0, 0]], np.uint32))
    2
    """
    flat = labels.ravel()
    starts = np.flatnonzero(flat[1:] != flat[:-1]) + 1  # runs are few, pixels are many
    return int(np.count_nonzero(np.unique(flat[np.append(0, starts)]))) if flat.size else 0


def packed(labels: Labels) -> bytes:
    return zlib.compress(np.ascontiguousarray(labels, "<u4").tobytes(), 1)


def unpacked(box: Box, packed: bytes) -> Labels:
    shape = box[2] - box[0], box[3] - box[1]
    return np.frombuffer(zlib.decompress(packed), "<u4").reshape(shape)


def box_in(text: str) -> Box:
    top, left, bottom, right = json.loads(text)
    return top, left, bottom, right
