"""Strokes on a label image recomputed by other means, and which corrected images may judge a model."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from test_web_correct import discs

from potency.errors import PotencyError
from potency.web.correcting import strokes
from potency.web.correcting.corrections import Item, images_of
from potency.web.correcting.rows import parted


def done(labels: NDArray[np.uint32], change: Callable[..., strokes.Change], *how: Any) -> NDArray[np.uint32]:
    """An image after a change; what it said it changed is what differs."""
    made = labels.copy()
    told = strokes.put(made, change(labels, *how))
    rows, columns = np.nonzero(made != labels)
    assert told is not None
    assert told[0] == (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
    return made


def test_a_stroke_is_all_pixels_near_its_line() -> None:
    rng = np.random.default_rng(3)
    y, x = np.indices((40, 50)) + 0.5
    for radius in (1.0, 3.7, 9.0):
        points = [tuple(p) for p in rng.uniform(-5, 55, (4, 2)).round(2)]
        box, inside = strokes.swept(points, radius, (40, 50))
        far = np.full((40, 50), np.inf)
        for (x0, y0), (x1, y1) in pairwise(points):
            for share in np.linspace(0, 1, 301):
                far = np.minimum(far, np.hypot(x - x0 - share * (x1 - x0), y - y0 - share * (y1 - y0)))
        whole = np.zeros((40, 50), bool)
        whole[box[0] : box[2], box[1] : box[3]] = inside
        assert whole[far < radius - 0.02].all() and not whole[far > radius + 0.02].any() and whole.any()


def test_inside_of_a_drawn_outline_is_filled() -> None:
    ring = [(20 + 9 * np.cos(t), 15 + 7 * np.sin(t)) for t in np.linspace(0, 2 * np.pi, 80)[:-1]]
    box, inside = strokes.surrounded(ring, (40, 40))
    y, x = np.indices((40, 40)) + 0.5
    ellipse = ((x - 20) / 9) ** 2 + ((y - 15) / 7) ** 2
    whole = np.zeros((40, 40), bool)
    whole[box[0] : box[2], box[1] : box[3]] = inside
    assert whole[ellipse < 0.97].all() and not whole[ellipse > 1.03].any()


def test_a_cut_leaves_pieces_that_do_not_touch_but_make_up_the_cell() -> None:
    labels = discs((40, 40, 25), (70, 70, 12), side=90)
    labels[ndimage.binary_dilation(discs((40, 24, 4), side=90) > 0)] = 0  # a hole on one side
    y, x = np.indices((90, 90)) + 0.5
    for start in (24.3, 36.0, 52.7):
        made = done(labels, strokes.split, 1, [(start, -3.0), (start + 8, 93.0)], 500)
        across = (x - start) * 96 - 8 * (y + 3)  # on which side of the line
        off = np.abs(across) / np.hypot(96, 8) > 0.8
        assert ((made > 0) == (labels > 0)).all() and (made == labels)[labels != 1].all()
        sizes = {int(n): int((made == n).sum()) for n in np.unique(made[labels == 1])}
        assert set(sizes) == {1, *range(500, 499 + len(sizes))} and sizes[1] == max(sizes.values()) and len(sizes) > 1
        for n in sizes:
            piece = made == n
            assert len(np.unique(np.sign(across[piece & off]))) == 1, "a piece lies on one side"
            assert ndimage.label(piece, np.ones((3, 3)))[1] == 1
    strips = done(discs((30, 30, 9)), strokes.split, 1, [(30.5, 0.0), (30.5, 60.0)], 7)
    assert (strips[:, :30] != 7).all() or (strips[:, 31:] != 7).all()
    with pytest.raises(PotencyError, match="does not cut"):
        strokes.split(discs((30, 30, 9)), 1, [(0.0, 0.0), (10.0, 0.0)], 9)


def test_merging_fills_narrow_gaps_only() -> None:
    labels = np.zeros((20, 40), np.uint32)
    labels[5:15, 5:15], labels[5:15, 17:27] = 3, 8
    made = done(labels, strokes.merged, 3, 8)
    assert set(np.unique(made)) == {0, 3} and ndimage.label(made, np.ones((3, 3)))[1] == 1
    assert ((made > 0) >= (labels > 0)).all() and not made[:, :5].any() and not made[:, 27:].any()
    wide = np.zeros((20, 40), np.uint32)
    wide[5:15, 5:10], wide[5:15, 20:27] = 1, 2
    assert (done(wide, strokes.merged, 1, 2) == np.where(wide, 1, 0)).all()


def items(*parts: str) -> list[Item]:
    return [Item(str(n), "c", n, str(n), f"{n}.png", 0, {}, "done", part, None, None, "", {}, None)
            for n, part in enumerate(parts)]  # fmt: skip


def test_what_was_learned_from_never_judges() -> None:
    digests = [f"d{n}" for n in range(9)]
    parts, note = parted(items(*[""] * 9), ["A", "A", "B", "B", "C", "C", "D", "D", "D"], digests, ())
    held = {n for n, part in parts.items() if part == "held"}
    groups = dict(zip("012345678", "AABBCCDDD", strict=True))
    assert 2 <= len(held) <= 4 and not {groups[n] for n in held} & {groups[n] for n in parts if n not in held}
    assert not note
    again, _ = parted(items(*parts.values(), "", ""), [*"AABBCCDDD", "E", "F"], [*digests, "x", "y"], ())
    assert all(again[n] == part for n, part in parts.items()), "decided once, it stays"
    known, _ = parted(items(*["held"] * 4, *[""] * 4), list("ABCDEFGH"), digests[:8], digests[:3])
    assert [known[str(n)] for n in range(4)] == ["learn", "learn", "learn", "held"]
    assert set(parted(items("", "", ""), list("ABC"), digests[:3], ())[0].values()) == {"learn"}
    one, note = parted(items(*[""] * 6), ["A"] * 6, digests[:6], ())
    assert list(one.values()).count("held") == 2 and "one group" in note


def test_masks_beside_images_are_no_images() -> None:
    from potency.web.sets import File

    files = [File(str(n), n, name, 1, "", {"axes": "YX", "shape": [8, 8]}) for n, name in enumerate(
        ["a.png", "a_mask.png", "b.png", "b_mask.png"])]  # fmt: skip
    assert [file.name for file in images_of(files, "labels")] == ["a.png", "b.png"]
    assert len(images_of(files, "category")) == 4
