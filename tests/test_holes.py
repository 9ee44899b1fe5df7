"""Holes of outlined objects: filled as SciPy fills them, in every decoder, and only as far as is asked."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, find_objects, gaussian_filter
from skimage.measure import label

from potency.decoding import DECODERS
from potency.decoding.holes import fill


def expected(labels: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Each object whose holes hold no other, filled by SciPy."""
    out = labels.copy()
    for number, box in enumerate(find_objects(labels.astype(np.int64)), 1):
        hole = binary_fill_holes(labels[box] == number) & (labels[box] != number)
        pieces = label(hole, connectivity=1)
        for piece in range(1, pieces.max() + 1):
            if not labels[box][pieces == piece].any():
                out[box][pieces == piece] = number
    return out


@pytest.mark.parametrize("level", [-0.5, -0.1, 0.0, 0.3])
def test_holes_are_filled_as_scipy_fills_them(level: float) -> None:
    rng, filled = np.random.default_rng(0), 0
    for side, blur in ((1, 0.1), (7, 0.5), (60, 0.5), (90, 1.0), (200, 2.0)):
        noise = gaussian_filter(rng.normal(size=(side, side + 5)), blur)
        labels = label(noise > level * noise.std(), connectivity=2).astype(np.uint32)
        truth, before = expected(labels), np.count_nonzero(labels)
        fill(labels, 1e9)
        assert np.array_equal(labels, truth)
        filled += np.count_nonzero(labels) - before
    assert filled > 0


def ring(hole: int) -> NDArray[np.uint32]:
    out = np.zeros((40, 40), np.uint32)
    out[4:24, 4:24] = 1
    out[6 : 6 + hole, 6 : 6 + hole] = 0
    out[26:36, 26:36] = 2
    return out


def test_large_holes_stay_where_less_is_asked() -> None:
    for share, found in ((0, 300), (0.3, 300), (0.34, 400), (1, 400)):
        labels = ring(10)
        fill(labels, share)
        assert np.count_nonzero(labels == 1) == found, share


def test_a_hole_with_another_object_in_it_and_one_that_is_open_stay() -> None:
    inhabited, opened = ring(10), ring(10)
    inhabited[10, 10] = 3
    opened[10, :6] = 0
    for labels in (inhabited, opened):
        before = labels.copy()
        fill(labels, 1)
        assert np.array_equal(labels, before)


@pytest.mark.parametrize("name", DECODERS)
def test_every_decoder_fills_what_the_network_doubts_within_an_object(name: str) -> None:
    decoder = DECODERS[name]
    maps = decoder.encode(ring(0))
    maps[:, 12:15, 12:15] = 0
    labels, _ = decoder.decode(maps)
    assert labels[14, 14] and labels[14, 14] == labels[6, 6]
    if name != "stardist":  # whose shapes have no holes
        assert not decoder.decode(maps, holes=0).labels[13, 13]
