"""Plans and tiles: decisions are read back and faults named; windows cover every pixel once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from potency.data.manifest import Manifest
from potency.data.plan import Facts, Plan
from potency.data.tiles import cover, scale
from potency.errors import ImageError, ManifestError, PlanError


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


@pytest.mark.parametrize(("text", "message"), [
    ('{"tille": 64}', "the plan has no 'tille' .*'tile'"), ('{"self": 1}', "the plan has no 'self'"),
    ('{"steps": Infinity}', "steps = inf does not fit"), ('{"seed": -1}', "impossible values: seed = -1"),
    ('{"rate": NaN}', "impossible values: rate = nan"), ('{"scaling": {"a": [0, 1e999]}}', "impossible"),
    ('{"scaling": {"a": 3}}', "does not fit"), ('{"augment": {"flip": -1}}', "impossible"),
    ('{"halo": -2}', "impossible"), ("[" * 100_000, "cannot be read"), ("{", "cannot be read"),
    ("[1]", "a JSON object"),
])  # fmt: skip
def test_a_plan_file_that_cannot_be_obeyed_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "plan.json").write_text(text, encoding="utf-8")
    with pytest.raises(PlanError, match=message) as caught:
        Plan.read(tmp_path / "plan.json")
    assert caught.value.where == str(tmp_path / "plan.json") and caught.value.mend


def test_a_plan_saved_by_notepad_is_read(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text('{"steps": 7}', encoding="utf-8-sig")
    assert Plan.read(tmp_path / "plan.json").steps == 7


def test_a_few_bad_images_do_not_keep_a_plan_from_being_made(tmp_path: Path) -> None:
    for number in range(6):
        np.save(tmp_path / f"{number}.npy", np.full((3, 20, 20), number, np.uint8))
    np.save(tmp_path / "0.npy", np.zeros((20, 30), np.uint8))
    (tmp_path / "1.npy").write_bytes(b"")
    rows = Manifest.of_rows(pd.DataFrame({"image": [f"{n}.npy" for n in range(6)]}), tmp_path)
    facts = Facts.of(rows)
    assert len(facts.channels) == 3 and facts.side == 20 and facts.rows == 6  # the odd one out decides nothing
    with pytest.raises(ImageError, match="empty"):
        Facts.of(rows.where([False, True] + [False] * 4))
    with pytest.raises(ManifestError, match="no rows to learn from"):
        Facts.of(rows.where([False] * 6))
