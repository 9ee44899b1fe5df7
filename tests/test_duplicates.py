"""Near-duplicates: changed copies are found among images that look alike, and look-alikes are left alone."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Picture

from potency.data import duplicates
from potency.data.duplicates import Pair, near_duplicates, thumbnail

Pixels = NDArray[np.float32]


def cell(rng: np.random.Generator, side: int = 40) -> Pixels:
    """A bright ring with texture: all of them look alike."""
    y, x = np.mgrid[:side, :side] - side / 2 + rng.normal(0, 0.5, (2, 1, 1))
    radius = np.hypot(y, x * rng.uniform(0.9, 1.1))
    coarse = Picture.fromarray(rng.normal(0, 12, (12, 12)).astype(np.float32))
    texture = np.asarray(coarse.resize((side, side), Picture.Resampling.BICUBIC)) * (radius < side / 3)
    ring = 60 * np.exp(-((radius - side / 4) ** 2) / 8)
    return np.asarray(100 + ring + texture + rng.normal(0, 2, (side, side)), np.float32)


def copied(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Rescaled by .5 to 2, contrast and brightness by 30 %, JPEG 70."""
    height, width = (max(2, round(side * 2 ** rng.uniform(-1, 1))) for side in (pixels.shape[0],) * 2)
    height = round(pixels.shape[0] * width / pixels.shape[1])
    small = np.asarray(Picture.fromarray(pixels).resize((width, height), Picture.Resampling.BICUBIC, reducing_gap=3))
    changed = ((small - small.mean()) * rng.uniform(0.7, 1.3) + small.mean()) * rng.uniform(0.7, 1.3)
    file = io.BytesIO()
    Picture.fromarray(np.clip(changed, 0, 255).astype(np.uint8)).save(file, "jpeg", quality=70)
    return np.asarray(Picture.open(file), dtype=np.float32)


def search(images: list[Pixels], groups: list[str] | None = None) -> list[Pair]:
    return near_duplicates(np.stack([thumbnail(image[None]) for image in images]),
                           [(image.shape[0], image.shape[1]) for image in images],
                           groups or [str(at) for at in range(len(images))])


def test_changed_copies_are_found_and_look_alikes_are_not() -> None:
    rng = np.random.default_rng(0)
    images = [cell(rng) for _ in range(300)]
    copies = [copied(images[at], rng) for at in range(30)]
    pairs = {(pair.first, pair.second) for pair in search(images + copies)}
    planted = {(at, 300 + at) for at in range(30)}
    assert len(planted & pairs) >= 29 and len(pairs - planted) <= 2
    assert len(search(images)) <= 2


@pytest.mark.parametrize("turn", range(8))
def test_flips_and_turns_are_copies(turn: int) -> None:
    rng = np.random.default_rng(turn)
    images = [cell(rng, 36)[:, :30] for _ in range(80)]
    changed = np.rot90(images[5][:, ::-1] if turn > 3 else images[5], turn)
    pairs = search([*images, np.ascontiguousarray(changed)])
    assert (5, 80) in {(pair.first, pair.second) for pair in pairs} and pairs[0].similarity > 0.99


def test_several_copies_of_one_image_are_all_found() -> None:
    rng = np.random.default_rng(3)
    images = [cell(rng) for _ in range(120)]
    copies = [copied(images[7], rng) for _ in range(5)]
    touched = {at for pair in search(images + copies) for at in (pair.first, pair.second)}
    assert {7, *range(120, 125)} <= touched and len(touched) <= 8


def test_pairs_within_a_group_are_not_looked_for() -> None:
    rng = np.random.default_rng(4)
    images = [cell(rng) for _ in range(100)]
    images.append(images[0] + 3)
    groups = [str(at) for at in range(100)]
    assert (0, 100) in {(pair.first, pair.second) for pair in search(images, [*groups, "new"])}
    assert (0, 100) not in {(pair.first, pair.second) for pair in search(images, [*groups, "0"])}


def test_few_flat_and_broken_images_are_no_trouble() -> None:
    rng = np.random.default_rng(5)
    assert search([cell(rng) for _ in range(3)]) == []
    flat = [np.full((9, 9), 7, np.float32) for _ in range(10)]
    assert search(flat) == [] and not thumbnail(flat[0][None]).any()
    broken = cell(rng)
    broken[0, 0] = np.nan
    assert np.isfinite(thumbnail(broken[None])).all()
    assert thumbnail(np.zeros((2, 1, 1), np.uint16)).shape == (duplicates.SIDE, duplicates.SIDE)
    assert isinstance(search([cell(rng) for _ in range(5)] + flat), list)


def test_beyond_the_exact_limit_the_same_copies_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(6)
    images = [cell(rng) for _ in range(200)]
    images += [copied(images[at], rng) for at in range(20)]
    exact = {(pair.first, pair.second) for pair in search(images)}
    monkeypatch.setattr(duplicates, "EXACT", 100)  # 220 images in 17 cells, each compared with eight
    near = {(pair.first, pair.second) for pair in search(images)}
    planted = {(at, 200 + at) for at in range(20)}
    assert len(planted & exact) >= 19 and len(planted & near) >= 17


def test_an_image_that_many_are_near_to_is_no_copy_of_them(tmp_path: Path) -> None:
    """Two common looking cells of this world stand alone before a gap with seven others that do not return it."""
    from potency.data.manifest import Manifest
    from potency.simulate import simulate

    made: Manifest = simulate(tmp_path / "cells", cells=600, seed=0)
    images = [np.asarray(Picture.open(made.paths(row)[""]), np.float32) for row in made.records()]
    assert search(images, made.table["group"].tolist()) == []
