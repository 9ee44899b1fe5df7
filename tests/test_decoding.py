"""Decoding: labels become maps and labels again, whatever the labels; maps may be blurred, noisy or not finite."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.spatial import KDTree
from skimage.measure import label, regionprops
from zoo import field

from potency.decoding import DECODERS, KINDS, Decoder
from potency.decoding.census import Census, centres, compact
from potency.decoding.depth import depth
from potency.errors import AnswerError, PlanError

APART = {name: decoder for name, decoder in DECODERS.items() if name != "components"}  # see test_outlined.py
all_of_them = pytest.mark.parametrize("decoder", DECODERS.values(), ids=DECODERS)
every = pytest.mark.parametrize("decoder", APART.values(), ids=APART)
TINY = 3  # pixels from the deepest pixel to the outline: what is narrower than five pixels is not judged
# What a way of decoding can give back at all: polygons cut what their middle does not see, and whose a neurite of one
# pixel is, as simulated cells have them, only vectors and offsets know.
CROWD = {"stardist": 0.95}
SIMULATED = {"distance": 0.9, "boundary": 0.9, "hover": 0.9, "stardist": 0.7}
REAL = {"stardist": 0.8}


def crowd(count: int, side: int, seed: int = 0) -> NDArray[np.int32]:
    """Cells of different size, most of them touching others: discs around jittered places, cut where they meet."""
    rng, each = np.random.default_rng(seed), round(count**0.5)
    apart = side / each
    places = (np.mgrid[:each, :each].reshape(2, -1).T + 0.5 + rng.uniform(-0.3, 0.3, (each**2, 2))) * apart
    far, whose = KDTree(places).query(np.mgrid[:side, :side].reshape(2, -1).T)
    radius = rng.uniform(0.35, 0.62, each**2)[whose] * apart
    return np.where(far < radius, whose + 1, 0).reshape(side, side).astype(np.int32)


def judged(truth: NDArray[np.integer], said: NDArray[np.integer]) -> tuple[int, int, float]:
    """Connected objects found at IoU above .5, mistakes, and the mean IoU of those found; tiny objects set aside."""
    truth, found = label(truth, connectivity=2, background=0).astype(np.int32), []
    matched = set()
    for one in regionprops(truth, depth(truth)):
        inside = said[one.slice][one.image]
        numbers, shared = np.unique(inside[inside > 0], return_counts=True)
        union = one.area + np.array([np.count_nonzero(said == k) for k in numbers]) - shared
        best = (shared / union).max(initial=0)
        if best > 0.5:
            matched.add(int(numbers[(shared / union).argmax()]))
        if one.intensity_max >= TINY:
            found.append(best)
    spurious = sum(
        one.intensity_max >= TINY and one.label not in matched
        for one in regionprops(said.astype(np.int32), depth(said.astype(np.int32)))
    )
    good = np.array([best for best in found if best > 0.5])
    return len(good), len(found) - len(good) + spurious, float(good.mean()) if len(good) else 1.0


@every
def test_a_crowd_comes_back(decoder: Decoder) -> None:
    truth = crowd(400, 384)
    maps = decoder.encode(truth)
    assert maps.shape == (len(decoder.channels), *truth.shape) and maps.dtype == np.float32 and np.isfinite(maps).all()
    assert all(channel.kind in KINDS for channel in decoder.channels)
    labels, scores = decoder.decode(maps)
    assert labels.dtype == np.uint32 and labels.max() == len(scores) == 400 and (scores > 0.4).all()
    found, wrong, iou = judged(truth, labels)
    assert wrong == 0 and found > 390 and iou >= CROWD.get(decoder.name, 0.97)
    first = np.unique(labels[labels > 0], return_index=True)[1]
    assert (np.diff(first) > 0).all()  # numbered as a reader meets them


@every
def test_simulated_cells_come_back(decoder: Decoder) -> None:
    truth = field(cells=40, field=384, classes=2, pixel_size=1.0, seed=3).field.labels
    found, wrong, iou = judged(truth, decoder.decode(decoder.encode(truth)).labels)
    assert found >= 38 and wrong <= (3 if decoder.name == "stardist" else 0)
    assert iou >= SIMULATED.get(decoder.name, 0.97)


@every
@pytest.mark.parametrize("folder", ["dsb2018", "usiigaci_phase"])
def test_real_masks_come_back(decoder: Decoder, folder: str, real_images: Path) -> None:
    files = sorted((real_images / "segment" / folder / "test" / "labels").glob("*.tif"))
    some = [tifffile.imread(path)[:400, :400] for path in files[:: max(1, len(files) // 5)]]
    told = [judged(mask, decoder.decode(decoder.encode(mask)).labels) for mask in some]
    found, wrong = sum(one[0] for one in told), sum(one[1] for one in told)
    exact = decoder.name in ("flows", "distance", "boundary")
    assert found > 20 and wrong <= (0 if exact else 0.12 * found)
    assert np.mean([one[2] for one in told]) >= REAL.get(decoder.name, 0.97)


@every
def test_blur_and_noise_are_borne(decoder: Decoder) -> None:
    truth, rng = crowd(144, 384), np.random.default_rng(1)
    maps = decoder.encode(truth)
    pixels = np.array([channel.name[:2] in ("to", "ra", "sp") for channel in decoder.channels])[:, None, None]
    for blur, noise in ((1, 0.0), (2, 0.0), (0, 0.1), (1, 0.1)):
        if blur == 2 and decoder.name == "boundary":
            continue  # a boundary of one pixel is no class any more
        spoiled = gaussian_filter(maps, (0, blur, blur)) + noise * np.where(pixels, 5, 1) * rng.normal(size=maps.shape)
        found, wrong, iou = judged(truth, decoder.decode(spoiled).labels)
        assert found / (found + wrong / 2) > 0.95 and iou > 0.8, (blur, noise, found, wrong, iou)


def spaced(side: int, apart: int) -> NDArray[np.int64]:
    out = np.zeros((side, side), np.int64)
    out[1::apart, 1::apart] = np.arange(1, out[1::apart, 1::apart].size + 1).reshape(out[1::apart, 1::apart].shape)
    return out


def blocks(*boxes: tuple[int, int, int, int], shape: tuple[int, int] = (40, 50)) -> NDArray[np.uint8]:
    out = np.zeros(shape, np.uint8)
    for k, (top, left, bottom, right) in enumerate(boxes, 1):
        out[top:bottom, left:right] = k
    return out


ODD = {
    "no object": np.zeros((30, 20), np.uint16),
    "gaps and large numbers": np.array([0, 7, 4_000_000_000], np.int64)[blocks((2, 2, 12, 12), (20, 20, 32, 34))],
    "more than 65,535 objects": spaced(1024, 3),
    "every border": blocks((0, 0, 12, 10), (0, 20, 9, 34), (15, 0, 26, 8), (30, 15, 40, 30), (12, 38, 30, 50)),
    "the whole image": np.ones((33, 41), bool),
    "single pixels": spaced(40, 5),
    "touching": blocks((5, 5, 20, 20), (5, 20, 20, 35), (20, 5, 35, 20), (20, 20, 35, 35)),
    "not contiguous": np.asfortranarray(blocks((5, 5, 20, 20), (5, 20, 20, 35)))[::-1, ::-1],
    "big-endian": blocks((5, 5, 20, 20)).astype(">u4"),
    "one pixel": np.ones((1, 1), np.uint8),
    "one row": np.array([[0, 3, 3, 3, 3, 3, 0, 9, 9, 9, 9, 9, 0]], np.uint8),
    "no pixel": np.zeros((0, 5), np.uint8),
}  # fmt: skip


@every
@pytest.mark.parametrize("odd", ODD)
def test_odd_labels_come_back(decoder: Decoder, odd: str) -> None:
    truth = ODD[odd]
    labels, scores = decoder.decode(decoder.encode(truth))
    count = len(np.unique(truth[truth > 0]))
    assert labels.shape == truth.shape and labels.max(initial=0) == len(scores) == count
    numbers, known = compact(truth)
    assert known == count and np.array_equal(labels > 0, truth > 0) or decoder.name == "stardist"
    keys, shared = np.unique(numbers.astype(np.int64) << 32 | labels, return_counts=True)
    left, right = keys >> 32, keys & 0xFFFFFFFF
    union = np.bincount(numbers.ravel(), minlength=1)[left] + np.bincount(labels.ravel(), minlength=1)[right] - shared
    same = (left > 0) & (shared / union > 0.8)
    assert np.count_nonzero(same) == count and (right[same] > 0).all()


@all_of_them
def test_maps_of_any_layout_give_the_same(decoder: Decoder) -> None:
    maps = decoder.encode(crowd(36, 120))
    expected = decoder.decode(maps)
    for other in (maps.astype(np.float64), np.asfortranarray(maps), np.flip(maps, 2).copy()[..., ::-1]):
        assert np.array_equal(decoder.decode(other).labels, expected.labels)
    assert np.array_equal(decoder.decode(maps).scores, expected.scores)  # and maps were not changed


@all_of_them
def test_what_is_not_finite_is_background(decoder: Decoder) -> None:
    maps = decoder.encode(crowd(36, 120))
    maps[-1, 30:60, 30:60] = np.nan
    maps[0, 90:, :20] = np.inf
    labels, scores = decoder.decode(maps)
    blank = maps.copy()
    blank[:, 30:60, 30:60] = blank[:, 90:, :20] = 0
    assert np.array_equal(labels, decoder.decode(blank).labels) and np.isfinite(scores).all()
    if decoder.name != "stardist":  # whose polygons are painted over whatever lies in them
        assert not labels[30:60, 30:60].any() and not labels[90:, :20].any()
    assert len(decoder.decode(np.full_like(maps, np.nan)).scores) == 0


@all_of_them
def test_wrong_input_is_refused(decoder: Decoder) -> None:
    for labels in (np.zeros((4, 4)), np.full((4, 4), -1), np.zeros((2, 4, 4), int), np.full((2, 2), 1 << 32)):
        with pytest.raises(AnswerError):
            decoder.encode(labels)
    with pytest.raises(AnswerError, match=decoder.channels[0].name):
        decoder.decode(np.zeros((1 if len(decoder.channels) > 1 else 2, 8, 8)))
    with pytest.raises(PlanError, match="did you mean 'smallest'"):
        decoder.decode(np.zeros((len(decoder.channels), 8, 8)), smalest=3)


@all_of_them
def test_thresholds_do_what_they_say(decoder: Decoder) -> None:
    truth = blocks((2, 2, 12, 12), (20, 20, 38, 44))
    maps = decoder.encode(truth)
    assert len(decoder.decode(maps, smallest=150).scores) == 1
    for name in ("inside", "middle"):
        if name in decoder.thresholds:
            assert len(decoder.decode(maps, **{name: 1.0}).scores) == 0


@all_of_them
def test_what_is_less_sure_than_asked_is_not_told(decoder: Decoder) -> None:
    maps = decoder.encode(blocks((2, 2, 12, 12), (20, 20, 38, 44)))
    maps[0, 15:] *= 0.8  # of the larger one less is sure
    scores = np.sort(decoder.decode(maps).scores)
    assert len(scores) == 2
    told = decoder.decode(maps, least=float(scores.mean()))
    assert len(told.scores) == told.labels.max() == 1 and told.scores[0] == scores[1] > scores[0]
    assert not len(decoder.decode(maps, least=1.01).scores)


@every
def test_a_window_with_its_reach_gives_the_same_objects(decoder: Decoder) -> None:
    truth, rng = crowd(400, 400, seed=2), np.random.default_rng(3)
    maps = decoder.encode(truth) * (1 + 0.02 * rng.normal(size=(1, *truth.shape)))
    whole = decoder.decode(maps).labels
    regions = regionprops(whole.astype(np.int32))
    far = decoder.reach(max(one.feret_diameter_max for one in regions))
    window = slice(150 - far, 250 + far)
    part = decoder.decode(maps[:, window, window]).labels
    for one in regions:
        top, left, bottom, right = one.bbox
        if min(top, left) >= 150 and max(bottom, right) <= 250:
            inside = part[top - 150 + far : bottom - 150 + far, left - 150 + far : right - 150 + far]
            assert len(set(inside[one.image])) == 1 and np.array_equal(inside == inside[one.image][0], one.image)


def test_depth_is_the_distance_to_the_nearest_pixel_of_another_number() -> None:
    truth = crowd(64, 96)
    expected = sum(distance_transform_edt(truth == k) for k in range(1, 65))
    assert np.abs(depth(truth) - expected).max() < 1e-5


def test_middles_lie_well_inside() -> None:
    bent = blocks((2, 2, 38, 10), (30, 2, 38, 48))
    bent[bent > 0] = 1
    census = Census.of(bent)
    middle, deepest = centres(census, depth(census.labels))
    assert depth(census.labels)[tuple(middle[1])] >= 0.75 * deepest[1]
    rod = Census.of(blocks((10, 5, 17, 45)))
    assert centres(rod, depth(rod.labels))[0][1].tolist() in ([13, 24], [13, 25])


def test_vectors_lead_to_the_middle_and_part_at_outlines() -> None:
    truth = blocks((5, 5, 20, 45), (20, 5, 35, 45))
    inside, down, along = DECODERS["flows"].encode(truth)
    length = np.hypot(down, along)[inside > 0]
    assert (np.abs(length - 1) < 1e-5).sum() == (inside > 0).sum() - 2  # the two middles have none
    assert (down[19, 8:42] < -0.9).all() and (down[20, 8:42] > 0.9).all()


def test_rays_are_those_of_a_walk() -> None:
    truth = crowd(16, 80, seed=4)
    rays = DECODERS["stardist"].encode(truth)[1:]
    worst, angles = [], 2 * np.pi / 32 * np.arange(32)
    for y, x in np.argwhere(truth > 0)[::37]:
        for k, angle in enumerate(angles):
            steps = np.arange(0, 80, 0.05)
            v, u = np.rint(y + steps * np.sin(angle)).astype(int), np.rint(x + steps * np.cos(angle)).astype(int)
            own = (v >= 0) & (u >= 0) & (v < 80) & (u < 80)
            own[own] = truth[v[own], u[own]] == truth[y, x]
            worst.append(abs(rays[k, y, x] - steps[np.argmin(own)]))
    assert np.mean(worst) < 0.4 and np.quantile(worst, 0.99) < 2


def test_places_run_from_one_end_to_the_other() -> None:
    _, across, down = DECODERS["hover"].encode(blocks((5, 10, 16, 31)))
    assert np.allclose(across[5:16, 10:31], np.linspace(-1, 1, 21)[None], atol=1e-6)
    assert np.allclose(down[5:16, 10:31], np.linspace(-1, 1, 11)[:, None], atol=1e-6)
