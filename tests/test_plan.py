"""Plans and tiles: decisions are read back and faults named; windows cover every pixel once."""

from __future__ import annotations

import numpy as np
import pytest

from potency.data.plan import Plan
from potency.data.tiles import cover, scale
from potency.errors import PlanError


def test_tiles_cover_every_pixel_once() -> None:
    for shape, size, halo in (((50, 70), 32, 0), ((50, 70), 32, 6), ((10, 10), 32, 4), ((33, 64), 32, 8)):
        owned = np.zeros(shape, int)
        for tile in cover(shape, size, halo):
            owned[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width] += 1
            window = tile.window(shape)
            assert all(s.stop - s.start <= max(size, 0) for s in window.values())
        assert (owned == 1).all()
    with pytest.raises(ValueError, match="no room"):
        cover((10, 10), 8, 4)


def test_scaling_maps_the_range_to_0_and_1() -> None:
    pixels = np.array([[[10, 20]], [[0, 100]]], np.uint16)
    found = scale(pixels, np.array([[10, 20], [0, 50]], np.float32))
    np.testing.assert_allclose(found, [[[0, 1]], [[0, 2]]])


def test_plans_are_read_back_and_faults_named() -> None:
    made = Plan(channels=("a",), scaling={"a": (0, 1)}, augment={"flip": 1})
    assert Plan.read(made.json()) == made
    for size in (40, [40, 40], "40x40", "40"):  # as cards of old, of now, and people write it
        assert made.but(tile=size).tile == (40, 40)
    assert Plan.read({**made.json(), "tile": [45, 60]}).tile == (45, 60)
    for changes, message in (
        ({"tile": [4, 60]}, "impossible"), ({"tile": [45, 60, 75]}, "height and width"),
        ({"tile": 45.5}, "whole number"),
        ({"nettwork": "x"}, "did you mean 'network'"), ({"steps": "many"}, "does not fit"),
        ({"batch": 0}, "impossible"),
        ({"steps": 2.5}, "whole number"), ({"channels": "a"}, "list is needed"), ({"precision": "int3"}, "impossible"),
        ({"scaling": {"a": [1, 0]}}, "impossible"), ({"pixel_size": -1}, "impossible"),
    ):  # fmt: skip
        with pytest.raises(PlanError, match=message):
            made.but(**changes)
