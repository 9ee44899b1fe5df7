"""Truth and answer on one picture: objects outlined by what became of them, wrong pixels of a map tinted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame

from potency.answers.drawing import RGB, flat
from potency.answers.metrics.boundaries import outline

TRUTH: RGB = (255, 255, 255)
# Of Okabe and Ito's colours those that are told apart on black, grey and stained pictures by colour-blind readers too.
KINDS: Mapping[str, RGB] = {
    "found": (86, 180, 233), "missed": (240, 228, 66), "split": (0, 158, 115), "merged": (204, 121, 167),
    "spurious": (213, 94, 0), "ignored": (90, 90, 90),
}  # fmt: skip
DASH = 3  # pixels of a dash, and of the gap after it


def instances(rgb: NDArray[np.uint8], truth: NDArray[Any], said: NDArray[Any], what: DataFrame) -> NDArray[np.uint8]:
    """Label images on their picture (H, W, 3): the answer in lines, the truth dashed in white, or in yellow if missed.

    `what` has the columns `side`, `label` and `what` of `Labels.mistakes`.
    """
    made = rgb.copy()
    for side, labels in (("prediction", flat(said)), ("truth", flat(truth))):
        told = what[what["side"] == side].sort_values("label")
        numbers, kinds = told["label"].to_numpy(np.int64), told["what"].to_numpy(object)
        edge = outline(labels) & np.isin(labels, numbers)
        place = np.searchsorted(numbers, labels[edge].astype(np.int64))
        lines = np.array([_colour(kind, side) for kind in kinds], np.uint8).reshape(-1, 3)[place]
        rows, columns = np.nonzero(edge)
        drawn = np.ones(len(rows), bool) if side == "prediction" else (rows + columns) // DASH % 2 == 0
        drawn |= np.isin(kinds[place], ["missed"])
        made[rows[drawn], columns[drawn]] = lines[drawn]
    return made


def boxes(rgb: NDArray[np.uint8], edges: Mapping[str, NDArray[np.float64]], what: DataFrame) -> NDArray[np.uint8]:
    """Boxes or points (a box of no size is one) of both sides, `edges[side]` (objects, 4): top, left, bottom, right."""
    from PIL import Image, ImageDraw

    sheet = Image.fromarray(rgb)
    pen = ImageDraw.Draw(sheet)
    for side in ("prediction", "truth"):
        for (top, left, bottom, right), kind in zip(edges[side], what["what"][what["side"] == side], strict=True):
            colour = _colour(kind, side)
            if (bottom, right) == (top, left):
                radius = 3 if side == "prediction" or kind == "missed" else 1
                pen.ellipse([left - radius, top - radius, left + radius, top + radius], outline=colour)
            else:
                inset = 0 if side == "prediction" else 1
                low, high = (left + inset, top + inset), (right - 1 - inset, bottom - 1 - inset)
                pen.rectangle([low, tuple(map(max, low, high))], outline=colour)
    return np.asarray(sheet)


def maps(rgb: NDArray[np.uint8], truth: NDArray[Any], said: NDArray[Any], judged: NDArray[Any]) -> NDArray[np.uint8]:
    """Semantic maps on their picture: wrong pixels tinted, the outlines of the truth dashed in white."""
    made = rgb.copy()
    wrong = flat((truth != said) & judged)
    tint = np.array(KINDS["spurious"], np.uint16)
    made[wrong] = (made[wrong].astype(np.uint16) + tint) // 2
    rows, columns = np.nonzero(outline(flat(truth)))
    dashed = (rows + columns) // DASH % 2 == 0
    made[rows[dashed], columns[dashed]] = TRUTH
    return made


def density(rgb: NDArray[np.uint8], values: NDArray[Any]) -> NDArray[np.uint8]:
    """A density on its picture: tinted the more, the denser; `values` of any size are those of the picture's pixels."""
    rows, columns = (
        ((np.arange(size) + 0.5) * of / size).astype(np.intp)
        for size, of in zip(rgb.shape[:2], values.shape, strict=True)
    )
    plane = np.clip(values[rows[:, None], columns], 0, None)
    share = 0.8 * np.minimum(plane / max(float(np.percentile(plane, 99.5)), 1e-12), 1)[..., None]
    return np.asarray(np.rint((1 - share) * rgb + share * np.array(KINDS["spurious"])), np.uint8)


def _colour(kind: str, side: str) -> RGB:
    return TRUTH if side == "truth" and kind != "missed" else KINDS[kind]
