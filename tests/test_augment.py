"""Augmentation does what each name claims and no more, keeps to the field of view, and decides what may be averaged."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Generator, Tensor
from zoo import cells

from potency.bundle import Bundle, NetworkMember
from potency.bundle.member import symmetric
from potency.data.manifest import Manifest
from potency.data.plan import Facts, Plan
from potency.learning.augment import AUGMENTATIONS, DEFAULT, GEOMETRY, LIGHT, augment, decided
from potency.learning.samples import cut
from potency.learning.train import train

GENTLE = {**dict.fromkeys(AUGMENTATIONS, 0.1), "warp": 1.0, "affine": 1.0, "crop": 0.5, "elastic": 1.0, "blur": 1.0,
          "drop_channel": 0.5, "flip": 1.0, "turn": 1.0, "halfturn": 1.0}  # fmt: skip


def applied(name: str, images: Tensor, strength: float, seed: int = 0) -> Tensor:
    return AUGMENTATIONS[name](images, strength, Generator().manual_seed(seed))


def pictures(count: int = 1, channels: int = 1, high: int = 24, wide: int = 24) -> Tensor:
    one = torch.rand(1, channels, high, wide, generator=Generator().manual_seed(1))
    return one.repeat(count, 1, 1, 1)


@pytest.mark.parametrize("name", sorted({*AUGMENTATIONS} - {"window"}))  # which alone gives smaller images
def test_an_augmentation_keeps_shape_range_and_repeats(name: str) -> None:
    images = torch.rand(6, 2, 24, 24, generator=Generator().manual_seed(1))
    first, again = (applied(name, images, GENTLE[name], 4) for _ in range(2))
    assert first.shape == images.shape
    assert torch.equal(first, again)
    assert torch.isfinite(first).all()
    assert not torch.equal(first, images)
    assert float(first.min()) > -0.6 and float(first.max()) < 1.6
    assert torch.equal(augment(images, {name: 0.0}, Generator()), images)


@pytest.mark.parametrize("name", [*GEOMETRY, "blur"])
def test_no_black_corners_and_no_new_values(name: str) -> None:
    flat = torch.full((8, 1, 16, 24), 0.3)
    torch.testing.assert_close(applied(name, flat, 1.0), flat)
    bright = pictures(32) + 1
    made = applied(name, bright, 1.0)
    assert float(made.min()) >= float(bright.min()) - 1e-5 and float(made.max()) <= float(bright.max()) + 1e-5


def test_a_window_is_a_part_of_the_image_at_any_place_and_its_sides_are_halved_often() -> None:
    places = torch.arange(96.0 * 128).reshape(1, 1, 96, 128).repeat(2, 1, 1, 1)
    starts = set()
    for seed in range(40):
        made = applied("window", places, 0.5, seed)
        assert made.shape == (2, 1, 64, 64) and torch.equal(made[0], made[1])  # 48 is no multiple of 32, 64 is
        top, left = divmod(int(made[0, 0, 0, 0]), 128)
        assert torch.equal(made, places[:, :, top : top + 64, left : left + 64])
        starts.add((top, left))
    assert len(starts) > 30 and {top for top, _ in starts} <= set(range(33))
    assert applied("window", places, 0.0).shape == places.shape


def test_a_negative_is_that_of_the_scale_and_comes_as_often_as_asked() -> None:
    made = applied("negative", pictures(400), 0.25)
    turned = (made == 1 - pictures(400)).flatten(1).all(1)
    assert torch.equal(made[~turned], pictures(400)[~turned]) and 0.18 < float(turned.float().mean()) < 0.32


@pytest.mark.parametrize("name, count, oblong", [("flip", 2, 2), ("halfturn", 2, 2), ("turn", 4, 2)])
def test_turns_and_mirrors_are_exact_and_each_comes_as_often(name: str, count: int, oblong: int) -> None:
    for shape, expected in (((24, 24), count), ((12, 24), oblong)):
        image = pictures(1, 2, *shape)
        possible = {view.tobytes() for view in symmetric(image.numpy(), 8)}
        made = [one.numpy().tobytes() for one in applied(name, image.repeat(400, 1, 1, 1), 1.0)[:, None]]
        shares = pd.Series(made).value_counts(normalize=True)
        assert set(made) <= possible and len(shares) == expected
        assert float((shares - 1 / expected).abs().max()) < 0.08
        assert torch.equal(applied("turn", image, 0.0), image)


def test_a_shift_moves_whole_pixels_and_repeats_the_border() -> None:
    ramp = torch.arange(20.0)[None, None, None].expand(200, 1, 10, 20)
    made = applied("shift", ramp, 0.2)
    moved = made[:, 0, 0, 10] - 10
    assert set(moved.tolist()) == set(range(-4, 5))
    torch.testing.assert_close(made, (ramp + moved[:, None, None, None]).clamp(0, 19))


def blob(count: int, high: int, wide: int, spread: float = 5.0) -> Tensor:
    y, x = torch.meshgrid(torch.arange(high) - (high - 1) / 2, torch.arange(wide) - (wide - 1) / 2, indexing="ij")
    return torch.exp(-(x**2 + y**2) / (2 * spread**2))[None, None].repeat(count, 1, 1, 1)


def moments(images: Tensor) -> tuple[Tensor, Tensor]:
    """Centres (N, 2) from the middle and spreads (N, 2), both y and x, in pixels."""
    found = []
    for axis in (2, 1):
        p = images[:, 0].sum(axis)
        p = p / p.sum(1, keepdim=True)
        where = torch.arange(p.shape[1]) - (p.shape[1] - 1) / 2
        centre = (p * where).sum(1)
        found.append((centre, (p * (where[None] - centre[:, None]) ** 2).sum(1).sqrt()))
    return torch.stack([c for c, _ in found], 1), torch.stack([s for _, s in found], 1)


@pytest.mark.parametrize("shape", [(60, 60), (60, 90)])
def test_affine_moves_zooms_and_turns_within_its_bounds_without_shear(shape: tuple[int, int]) -> None:
    centre, spread = moments(applied("affine", blob(300, *shape), 1.0))
    reach = math.hypot(*shape) * 0.05 * math.exp(0.1)  # 5 % of both sides, seen through the zoom
    assert 0.7 * reach < float(centre.norm(dim=1).max()) < reach
    zoom = spread / 5.0
    assert float((zoom[:, 0] / zoom[:, 1] - 1).abs().max()) < 0.05  # a disc stays a disc
    assert float(zoom.min()) > math.exp(-0.1) * 0.95 and float(zoom.max()) < math.exp(0.1) * 1.05
    edge = torch.zeros(200, 1, 61, 61)
    edge[:, :, 28:33, 28:] = 1  # an arm to the right
    found = moments(applied("affine", edge, 1.0))[0]
    angle = torch.atan2(found[:, 0], found[:, 1])
    assert torch.histc(angle, 4, -math.pi, math.pi).min() > 25  # all quarters of the circle are met
    still = moments(applied("affine", blob(50, *shape), 0.1))[0]
    assert float(still.norm(dim=1).max()) < reach / 9


def test_elastic_bends_smoothly_by_what_it_says() -> None:
    ramp = (torch.arange(80.0)[None, None, None] + torch.zeros(200, 1, 80, 1)).contiguous()
    moved = (applied("elastic", ramp, 2.0) - ramp)[:, 0, 20:60, 20:60]  # px to the side
    assert 0.8 < float(moved.std()) < 2.4  # 2 % of 80 px is 1.6; between knots it is less
    assert float(moved.mean().abs()) < 0.2
    assert float(moved.diff(dim=1).abs().max()) < 0.5  # smooth: neighbours move alike
    assert float((applied("elastic", ramp, 0.5) - ramp)[:, 0, 20:60, 20:60].std()) < float(moved.std()) / 3


def test_warp_is_both_in_one_interpolation() -> None:
    images = torch.rand(16, 1, 40, 40, generator=Generator().manual_seed(2))
    once = applied("warp", images, 1.0)
    twice = applied("elastic", applied("affine", images, 1.0), 1.0)
    assert float(once.var()) > 1.15 * float(twice.var())  # texture that a second interpolation would have cost


def test_blur_spreads_a_point_by_at_most_its_strength() -> None:
    point = torch.zeros(200, 1, 31, 31)
    point[:, :, 15, 15] = 1
    made = applied("blur", point, 1.5)
    torch.testing.assert_close(made.sum((1, 2, 3)), torch.ones(200))
    spread = moments(made)[1]
    assert float(spread.max()) < 1.55 and float(spread.max()) > 1.0 and float(spread.min()) < 0.3


def test_gain_is_one_factor_and_one_offset_a_channel() -> None:
    images = pictures(100, 2)
    made = applied("gain", images, 0.2)
    factor = made.std((2, 3)) / images.std((2, 3))
    offset = made.mean((2, 3)) - 0.5 - (images.mean((2, 3)) - 0.5) * factor
    assert 0.8 <= float(factor.min()) < 0.85 and 1.15 < float(factor.max()) <= 1.2001
    assert float(offset.abs().max()) <= 0.1001
    torch.testing.assert_close(made, (images - 0.5) * factor[..., None, None] + 0.5 + offset[..., None, None])
    assert float((factor[:, 0] - factor[:, 1]).abs().max()) > 0.05  # channels apart: stains and lamps


def test_gamma_keeps_black_white_and_order() -> None:
    steps = torch.linspace(0, 1, 25).reshape(1, 1, 5, 5).repeat(100, 1, 1, 1)
    made = applied("gamma", steps, 0.5).flatten(1)
    assert (made.diff(dim=1) > 0).all()
    torch.testing.assert_close(made[:, [0, -1]], torch.tensor([[0.0, 1.0]]).repeat(100, 1), atol=3e-3, rtol=0)
    power = made[:, 12].log() / math.log(0.5)
    assert float(power.min()) >= 1 / 1.5 - 1e-3 and float(power.max()) <= 1.5 + 1e-3 and float(power.std()) > 0.1
    beyond = torch.full((4, 1, 2, 2), 1.4)
    torch.testing.assert_close(applied("gamma", beyond, 0.5), beyond)


def test_illumination_is_smooth_and_the_same_for_all_channels() -> None:
    images = pictures(200, 2, 40, 40) + 0.5
    field = applied("illumination", images, 0.1) / images
    torch.testing.assert_close(field[:, 0], field[:, 1])
    assert 0.04 < float(field.std()) < 0.15 and abs(float(field.mean()) - 1) < 0.02
    assert float(field.diff(dim=3).abs().max()) < 0.08


def test_noise_has_no_mean_and_at_most_its_strength() -> None:
    level = (applied("noise", pictures(100), 0.1) - pictures(100)).flatten(1)
    assert float(level.std(1).max()) < 0.11 and float(level.std(1).min()) < 0.03
    assert abs(float(level.mean())) < 1e-3


def test_grain_is_noise_whose_neighbours_are_alike() -> None:
    level = applied("grain", pictures(100), 0.1) - pictures(100)
    assert level.mean().abs() < 1e-3 and 0 < level.flatten(1).std(1).max() < 0.1
    beside = (level[..., 1:] * level[..., :-1]).mean() / level.square().mean()
    white = applied("noise", pictures(100), 0.1) - pictures(100)
    assert beside > 0.5 > 0.1 > ((white[..., 1:] * white[..., :-1]).mean() / white.square().mean()).abs()


def test_one_channel_is_blanked_as_often_as_asked() -> None:
    blank = (applied("drop_channel", pictures(400, 3), 0.4) == 0).all((2, 3)).sum(1)
    assert set(blank.tolist()) == {0, 1} and abs(float((blank == 1).float().mean()) - 0.4) < 0.08
    assert torch.equal(applied("drop_channel", pictures(8, 1), 1.0), pictures(8, 1))


@pytest.mark.parametrize("name", LIGHT)
def test_outside_the_field_of_view_nothing_tells_of_augmentation(name: str) -> None:
    inside = torch.zeros(6, 1, 24, 24, dtype=torch.bool)
    inside[:, :, 6:18, 4:20] = True
    images = torch.where(inside, torch.rand(6, 2, 24, 24, generator=Generator().manual_seed(3)), 0.4)
    made = augment(images, {name: GENTLE[name]}, Generator().manual_seed(5), inside)
    outside = made[~inside.expand_as(made)].reshape(6, 2, -1)
    assert float(outside.std(2).max()) < 1e-6
    assert not torch.equal(made, images)
    if name in ("gain", "gamma"):  # the lamp lights the background too
        plain = augment(images, {name: GENTLE[name]}, Generator().manual_seed(5))
        torch.testing.assert_close(made, plain)


def test_the_field_of_view_moves_with_the_pixels() -> None:
    inside = torch.zeros(40, 1, 24, 24, dtype=torch.bool)
    inside[:, :, :, 4:12] = True
    images = torch.where(inside, 1.0, 0.0) * pictures(40) + 0.5
    chosen = {"turn": 1.0, "flip": 1.0, "noise": 0.2}
    made = augment(images, chosen, Generator().manual_seed(5), inside)
    even = made == made.flatten(2).mode(2).values[..., None, None]
    shapes = {tuple(one[0].all(0).tolist()) for one in even}  # which columns are padding from top to bottom
    assert len(shapes) == 3  # upright to the left, upright to the right, and lying: no column all padding
    assert all(abs(int(one.sum()) - 24 * 16) <= 1 for one in even)


def test_what_was_imaged_is_known_from_the_cut(tmp_path: Path) -> None:
    for i, shape in enumerate([(32, 32), (20, 32), (40, 26)]):
        np.save(tmp_path / f"{i}.npy", np.full(shape, i + 1, np.uint8))
    rows = Manifest.of_rows(pd.DataFrame({"image": [str(tmp_path / f"{i}.npy") for i in range(3)]}))
    plan = Plan(channels=tuple(rows.open(rows.table.iloc[0]).channels), tile=32)
    samples = cut(rows, plan, tmp_path / "cache")
    assert samples.fields.tolist() == [[0, 0, 32, 32], [6, 0, 20, 32], [0, 3, 32, 26]]
    assert samples.inside(np.array([0])) is None
    inside = samples.inside(np.arange(3))
    assert inside is not None and inside.sum((1, 2, 3)).tolist() == [32 * 32, 20 * 32, 32 * 26]
    assert inside[1, 0, 6:26].all() and inside[2, 0, :, 3:29].all()
    again = cut(rows, plan, tmp_path / "cache")
    np.testing.assert_array_equal(again.fields, samples.fields)


@pytest.mark.parametrize(
    "augmented, symmetries, expected",
    [
        ({}, 8, 8), ({}, 4, 4), ({}, 2, 2), ({}, 1, 1),
        ({"noise": 0.1}, 8, 1), ({"flip": 1}, 8, 2), ({"turn": 1}, 8, 1), ({"flip": 1, "turn": 1}, 4, 4),
        ({"flip": 1, "halfturn": 1}, 8, 4), ({"flip": 1, "affine": 1}, 8, 8),
        ({"flip": 1, "warp": 0.2}, 8, 2),
    ],
)  # fmt: skip
def test_only_what_was_shown_is_averaged(augmented: dict[str, float], symmetries: int, expected: int) -> None:
    chosen, shown = decided(augmented, symmetries)
    assert shown == expected
    assert chosen == augmented if augmented else {**DEFAULT, **chosen} == chosen
    if not augmented:
        assert ("flip" in chosen, "turn" in chosen) == (symmetries > 1, symmetries > 4)


@pytest.mark.parametrize(
    "changes, views", [({}, 8), ({"test_views": 2}, 2), ({"symmetries": 1}, 1), ({"tile": "24x32"}, 4)]
)
def test_views_are_averaged_at_the_price_the_plan_states(
    changes: dict[str, object], views: int, tmp_path: Path
) -> None:
    rows = cells(tmp_path / "cells")
    plan = Plan.of(Facts.of(rows), steps=2, validations=1, batch=8, **changes)
    train(rows, "classify", into=tmp_path, plan=plan)
    member = Bundle.load(tmp_path / "bundle").members[0]
    assert isinstance(member, NetworkMember)
    if "symmetries" in changes:
        assert set(member.plan.augment) == set(DEFAULT)  # orientation means something: it is not learned away
    image = rows.open(rows.table.iloc[0]).crop()
    calls, run = [], member.run
    member.run = lambda images: (calls.append(images), run(images))[1]  # type: ignore[func-returns-value]
    found = member.outputs([{"image": image}])[0]["output"]
    assert len(calls) == views
    assert len({one.tobytes() for one in calls}) == views  # no view twice
    np.testing.assert_allclose(found, np.mean([run(one)["output"][0] for one in calls], axis=0), rtol=1e-5)
    turned = member.outputs([{"image": np.ascontiguousarray(image[:, ::-1, ::-1])}])[0]["output"]
    if views >= 4:  # the answer no longer depends on which way up
        np.testing.assert_allclose(found, turned, rtol=1e-4, atol=1e-5)


def test_a_crop_is_a_part_of_the_image_and_not_too_small_a_part() -> None:
    ramp = torch.linspace(0, 1, 24).expand(1, 1, 24, 24)
    pictures_of = torch.cat([ramp, ramp.transpose(2, 3)], 1).repeat(200, 1, 1, 1)  # each pixel says where it was
    made = applied("crop", pictures_of, 0.75)
    across, down = made[:, 0, 12, :], made[:, 1, :, 12]
    wide, high = ((line[:, -2] - line[:, 1]) / (22 / 23 - 1 / 23) for line in (across, down))
    assert torch.allclose(wide, high, atol=0.02)  # not stretched
    assert 0.48 < float(wide.min()) < 0.6 and 0.9 < float(wide.max()) < 1.02  # a quarter to the whole of the area
    assert float(made.min()) >= 0 and float(made.max()) <= 1
    middle = across[:, 11:13].mean(1)
    assert float(middle.std()) > 0.05  # from anywhere
