"""Spectra, bands, mixtures, plain numbers and partial correlations, each against a truth known by construction."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import fft

from potency.reliance import numbers, power
from potency.reliance.alterations import (
    KEPT,
    REMOVED,
    alterations,
    edges_of,
    filtered,
    phases_mixed,
    share,
    tiles_mixed,
)
from potency.reliance.partial import partial, ranks

RANDOM = np.random.default_rng(0)


def hann(side: int) -> NDArray[np.float64]:
    return np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2


@pytest.mark.parametrize("shape", [(32, 32), (33, 40), (40, 31), (9, 8)])
def test_the_powers_sum_to_the_variance_under_the_window(shape: tuple[int, int]) -> None:
    plane = RANDOM.normal(size=shape) * 3 + 100
    window = np.outer(hann(shape[0]), hann(shape[1]))
    mean = (plane * window).sum() / window.sum()
    variance = (((plane - mean) * window) ** 2).sum() / (window**2).sum()
    assert power.power(plane).sum() == pytest.approx(variance, rel=1e-12)


def test_a_wave_stands_in_its_ring_and_the_density_does_not_depend_on_the_size_of_the_crop() -> None:
    edges = power.edges_of(64)
    wave = np.cos(2 * np.pi * 0.2 * np.arange(64))[None] * np.ones((64, 1))
    found = power.radial(wave, edges)
    best = int(np.nanargmax(found))
    assert edges[best] <= 0.2 < edges[best + 1]
    noise = [np.log10(np.mean([power.radial(RANDOM.normal(size=(n, n)), edges) for _ in range(40)], axis=0))
             for n in (64, 128)]  # fmt: skip
    np.testing.assert_allclose(noise[0], 0.0, atol=0.12)  # white noise of variance 1: density 1 everywhere
    np.testing.assert_allclose(noise[1], 0.0, atol=0.12)
    with pytest.raises(ValueError, match="no spectrum"):
        power.radial(np.ones((7, 40)), edges)


def test_rings_cover_all_frequencies_up_to_a_half_and_each_holds_some() -> None:
    for side in (8, 16, 40, 64, 250):
        edges = power.edges_of(side)
        assert (np.diff(edges) > 0).all() and edges[-1] == 0.5 and len(edges) <= power.RINGS + 1
        assert np.isfinite(power.radial(RANDOM.normal(size=(side, side)), edges)).all()


def test_bands_sum_to_one_and_removing_all_but_one_keeps_it() -> None:
    wave = np.linspace(0, 0.75, 500)
    cuts = [0.0, *edges_of(64), 0.5]
    bands = list(zip(cuts[:-1], cuts[1:], strict=True))
    total = np.sum([share(wave, band) for band in bands], axis=0)
    np.testing.assert_allclose(total, 1.0, atol=1e-12)
    pixels = RANDOM.normal(size=(2, 64, 50)) + 5
    kept = [one.of(pixels, RANDOM) for one in alterations(64) if one.arm == KEPT]
    removed = [one.of(pixels, RANDOM) for one in alterations(64) if one.arm == REMOVED]
    mean = pixels.mean((1, 2), keepdims=True)
    assert len(kept) == len(removed) == len(bands)
    for alone, without in zip(kept, removed, strict=True):
        assert alone is not None and without is not None and alone.dtype == np.float32
        np.testing.assert_allclose(alone - mean + without, pixels, atol=1e-4)
        np.testing.assert_allclose(alone.mean((1, 2)), mean[:, 0, 0], atol=1e-4)
        np.testing.assert_allclose(without.mean((1, 2)), mean[:, 0, 0], atol=1e-4)
    whole = np.sum([one - mean for one in kept if one is not None], axis=0) + mean
    np.testing.assert_allclose(whole, pixels, atol=1e-4)


def test_a_wave_is_taken_out_by_its_band_alone() -> None:
    y, x = np.mgrid[:64, :64]
    wave = (np.cos(2 * np.pi * 0.18 * x) + 3)[None]  # in the octave .125 to .25
    for one in alterations(64):
        if one.arm != REMOVED:
            continue
        found = one.of(wave, RANDOM)
        assert found is not None
        left = found.std() / wave.std()
        assert left < 0.1 if one.band[0] <= 0.18 < one.band[1] else left > 0.9, (one.band, left)


def test_the_ripples_of_soft_edges_die_out_where_those_of_a_sharp_cut_go_on() -> None:
    step = np.zeros((1, 64, 64))
    step[:, :, 32:] = 1.0

    def ripple(gain: NDArray[np.float64]) -> float:
        found = filtered(step, lambda _: gain.copy())
        return float(np.abs(found - step)[:, :, 32 + 16 : 56].max())  # two wavelengths of the cut away

    wave = np.hypot(np.arange(64)[:, None] / 128, np.arange(64)[None] / 128)
    sharp, soft = ripple((wave < 0.125).astype(float)), ripple(1 - share(wave, (0.125, 0.5)))
    assert sharp > 0.015 and soft < sharp / 4, (sharp, soft)


@pytest.mark.parametrize("shape", [(1, 40, 40), (2, 33, 48)])
def test_mixed_phases_keep_the_spectrum_and_the_mean_and_are_real(shape: tuple[int, ...]) -> None:
    pixels = RANDOM.integers(0, 65535, shape).astype(np.uint16)
    pixels[:, 5:9] = 60000
    exact = fft.ifft2(_turned(pixels, 3)).imag
    assert np.abs(exact).max() < 1e-6 * pixels.max()
    mixed = phases_mixed(pixels, np.random.default_rng(3))
    before, after = (np.abs(fft.fft2(side.astype(np.float64))) for side in (pixels, mixed))
    assert np.abs(after - before).max() < 1e-6 * before.max()
    np.testing.assert_allclose(mixed.mean((1, 2)), pixels.mean((1, 2)), rtol=1e-5)
    assert abs(np.corrcoef(mixed[0].ravel(), pixels[0].ravel())[0, 1]) < 0.2
    if shape[0] == 2:  # what channels have in common stays
        both = [fft.fft2(side[0].astype(float)) * np.conj(fft.fft2(side[1].astype(float))) for side in (pixels, mixed)]
        assert np.abs(both[0] - both[1]).max() < 1e-5 * np.abs(both[0]).max()


def _turned(pixels: NDArray[np.uint16], seed: int) -> NDArray[np.complex128]:
    turn = fft.fft2(np.random.default_rng(seed).normal(size=pixels.shape[1:]))
    return np.asarray(fft.fft2(pixels.astype(np.float64)) * turn / np.abs(turn))


@pytest.mark.parametrize("count", [2, 4, 8])
def test_every_tile_moves_whole_and_none_is_lost(count: int) -> None:
    pixels = RANDOM.permutation(2 * 41 * 40).reshape(2, 41, 40)
    mixed = tiles_mixed(pixels, count, np.random.default_rng(1))
    assert mixed is not None
    assert sorted(mixed.ravel().tolist()) == sorted(pixels.ravel().tolist())
    high, wide = 41 // count, 40 // count
    top, left = (41 - high * count) // 2, (40 - wide * count) // 2

    def tiles(side: NDArray[np.generic]) -> dict[bytes, int]:
        cut = [side[:, top + i * high : top + (i + 1) * high, left + j * wide : left + (j + 1) * wide]
               for i in range(count) for j in range(count)]  # fmt: skip
        return {np.asarray(tile, np.float32).tobytes(): place for place, tile in enumerate(cut)}

    before, after = tiles(pixels), tiles(mixed)
    assert before.keys() == after.keys() and all(before[tile] != after[tile] for tile in before)
    assert tiles_mixed(pixels[:, : 2 * count - 1], count, RANDOM) is None


Values = NDArray[np.float64]


def residuals(values: Values, given: Values, weight: Values) -> Values:
    """What a weighted regression on `given` and a constant leaves."""
    x = np.column_stack([np.ones(len(given)), given])
    root = np.sqrt(weight)[:, None]
    return np.asarray(values - x @ np.linalg.lstsq(x * root, values * root[:, 0], rcond=None)[0])


def test_partial_correlations_are_those_of_the_residuals_of_regressions() -> None:
    truth = np.eye(3)[RANDOM.integers(0, 3, 400)][:, 1:]
    values = RANDOM.normal(size=(400, 4)) + truth @ RANDOM.normal(size=(2, 4))
    values[:, 1] += values[:, 0]
    score = values @ [0.5, 0, 1, 0] + truth[:, 0] * 2 + RANDOM.normal(size=400)
    weights = np.concatenate([np.ones((1, 400)), RANDOM.integers(0, 4, (3, 400))]).astype(float)
    alone, beside = partial(score, values, truth, weights)
    for d, weight in enumerate(weights):
        for k in range(4):
            for found, given in ((alone, truth), (beside, np.column_stack([truth, np.delete(values, k, 1)]))):
                a, b = residuals(score, given, weight), residuals(values[:, k], given, weight)
                expected = (weight * a * b).sum() / np.sqrt((weight * a * a).sum() * (weight * b * b).sum())
                assert found[d, k] == pytest.approx(expected, abs=1e-9)
    precision = np.linalg.inv(np.cov(np.column_stack([score, values, truth]).T))  # and by the inverse covariance
    assert beside[0, 2] == pytest.approx(-precision[0, 3] / np.sqrt(precision[0, 0] * precision[3, 3]), abs=1e-9)


def test_what_goes_with_the_score_through_the_truth_alone_is_nothing_given_the_truth() -> None:
    truth = RANDOM.integers(0, 2, 3000).astype(float)
    number, other = truth + RANDOM.normal(size=3000), RANDOM.normal(size=3000)
    score = 2 * truth + other + RANDOM.normal(size=3000)
    assert np.corrcoef(score, number)[0, 1] > 0.2
    alone, _ = partial(score, np.column_stack([number, other]), truth[:, None], np.ones((1, 3000)))
    assert abs(alone[0, 0]) < 0.06 and alone[0, 1] > 0.6


def test_a_number_that_never_changes_or_is_the_truth_goes_with_nothing() -> None:
    truth = RANDOM.integers(0, 2, 50).astype(float)
    values = np.column_stack([np.ones(50), truth])
    alone, beside = partial(RANDOM.normal(size=50), values, truth[:, None], np.ones((1, 50)))
    assert not alone.any() and not beside.any()


def test_ranks_share_ties() -> None:
    assert ranks(np.array([[5.0], [1.0], [5.0], [9.0]]))[:, 0].tolist() == [0.5, 0.125, 0.5, 0.875]


def test_a_number_that_tells_the_class_is_a_good_classifier_and_others_are_none() -> None:
    truth = np.array(["a", "b"] * 60)
    values = np.column_stack([np.where(truth == "a", 1.0, 3.0) + RANDOM.normal(0, 0.3, 120), RANDOM.normal(size=120)])
    folds = np.arange(120) // 2 % 5
    right = [np.mean(numbers.answers(truth, values[:, [k]], folds, "p", True)["p"] == truth) for k in (0, 1)]
    assert right[0] > 0.98 and right[1] < 0.7


def test_the_threshold_is_fitted_on_other_rows_only_and_is_the_best_there() -> None:
    truth, x = np.array([False, False, False, True]), np.array([0.1, 0.2, 0.6, 0.5])
    bar = numbers.threshold(truth, x)
    scores = {cut: ((x >= cut)[truth].mean() + (x < cut)[~truth].mean()) / 2 for cut in (0.0, 0.15, 0.3, 0.55, 0.7)}
    said = ((x >= bar)[truth].mean() + (x < bar)[~truth].mean()) / 2
    assert said == max(scores.values())
    values = np.arange(40.0)[:, None]
    truth_of = np.where(np.arange(40) % 4 == 0, "rare", "usual")
    folds = np.arange(40) % 2
    one = numbers.answers(truth_of, values, folds, "p", True)
    changed = truth_of.copy()
    changed[folds == 1] = changed[folds == 1][::-1]  # the truth of asked rows moves no answer to them
    other = numbers.answers(changed, values, folds, "p", True)
    assert (one["p"][folds == 1] == other["p"][folds == 1]).all()


def test_a_number_as_truth_gets_a_straight_line_and_gaps_take_the_median() -> None:
    x = RANDOM.normal(size=60)
    values = np.where(np.arange(60) == 7, np.nan, x)[:, None]
    found = numbers.answers(3 * x + 1, values, np.arange(60) % 3, "p", False)
    assert np.abs(found["p"] - (3 * x + 1))[np.arange(60) != 7].max() < 0.5 and np.isfinite(found["p"]).all()


def test_plain_numbers_say_what_they_are_called() -> None:
    y, x = np.mgrid[:64, :64]
    disc = ((y - 32.0) ** 2 + (x - 32.0) ** 2 < 100) * 100.0 + RANDOM.normal(10, 1, (64, 64))
    found = numbers.measured(np.stack([disc, disc * 2]), ("one", "two"))
    assert found["brightness.two"] == pytest.approx(2 * found["brightness.one"])
    assert found["variance.two"] == pytest.approx(4 * found["variance.one"])
    assert found["foreground.one"] == pytest.approx(np.pi * 100 / 4096, rel=0.15)
    assert found["density.one"] == pytest.approx(1e6 / 4096)
    blurred = (disc + np.roll(disc, 1, 0) + np.roll(disc, 1, 1) + np.roll(disc, (1, 1), (0, 1))) / 4
    assert numbers.measured(blurred[None], ("one",))["focus"] < found["focus.one"]
    flat = numbers.measured(np.zeros((1, 5, 5), np.uint8), ("one",))
    assert all(np.isfinite(value) for name, value in flat.items() if name != "focus")
