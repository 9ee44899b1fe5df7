"""Objects measured: each figure against scikit-image or a formula written down again, on simulated and real masks."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cell_masks import noise, simulated
from numpy.typing import NDArray
from scipy import ndimage
from skimage.feature import graycomatrix, graycoprops
from skimage.measure import perimeter, regionprops, regionprops_table

from potency.data.readers import open_image
from potency.measurement.objects import OBJECT_FAMILIES, measure_objects
from potency.measurement.objects.texture import gabor_kernel
from potency.measurement.texture import LEVELS

SHAPES = (
    "area", "area_bbox", "area_convex", "axis_major_length", "axis_minor_length", "bbox", "centroid", "eccentricity",
    "equivalent_diameter_area", "euler_number", "extent", "feret_diameter_max", "label", "orientation", "perimeter",
    "solidity",
)  # fmt: skip
LIGHTS = ("centroid_weighted", "intensity_max", "intensity_mean", "intensity_min", "intensity_std")


def agree(labels: NDArray[Any], image: NDArray[Any]) -> dict[str, float]:
    """The largest relative difference from scikit-image of each column that both have; orientations as angles."""
    theirs = pd.DataFrame(regionprops_table(labels.astype(np.int64), np.moveaxis(image, 0, -1), (*SHAPES, *LIGHTS)))
    ours = measure_objects(labels, image)
    assert set(theirs) <= set(ours) and (ours["label"] == theirs["label"]).all()
    found = {}
    for name in theirs:
        apart = np.abs(ours[name].to_numpy(np.float64) - theirs[name].to_numpy(np.float64))
        if name == "orientation":  # of what is round it is chance
            apart = np.minimum(apart, np.pi - apart) * theirs["eccentricity"].to_numpy() ** 2
        found[name] = float(np.max(apart / np.maximum(1, np.abs(theirs[name].to_numpy())), initial=0))
    return found


@pytest.mark.parametrize("which", ["simulated", "noise"])
def test_what_scikit_image_defines_is_as_there(which: str) -> None:
    labels, image = simulated() if which == "simulated" else noise()
    assert max(agree(labels, image).values()) < 1e-6


@pytest.mark.parametrize("folder", ["dsb2018", "usiigaci_phase"])
def test_real_masks_are_measured_as_scikit_image_does(folder: str, real_images: Path) -> None:
    place = real_images / "segment" / folder / "test"
    if not place.is_dir():
        pytest.skip(f"real masks: there is no {place}")
    for mask in sorted((place / "labels").glob("*.tif"))[::40]:
        image = open_image(next((place / "images").glob(f"{mask.stem}.*"))).crop()
        assert max(agree(open_image(mask).crop()[0], image).values()) < 1e-6, mask.name


def test_feret_convexity_and_form_factor_by_their_formulas() -> None:
    labels, _ = simulated()
    found = measure_objects(labels, families=("shape",)).set_index("label")
    angles = np.linspace(0, np.pi, 3601)
    for region in list(regionprops(labels))[::14]:
        row, convex = found.loc[region.label], region.image_convex
        y, x = np.nonzero(convex)
        sides = np.concatenate([[y - 0.5, x], [y + 0.5, x], [y, x - 0.5], [y, x + 0.5]], axis=1)
        across = np.ptp(np.outer(np.cos(angles), sides[0]) + np.outer(np.sin(angles), sides[1]), axis=1)
        assert row["feret_diameter_min"] <= across.min() + 1e-9
        assert row["feret_diameter_min"] == pytest.approx(across.min(), rel=1e-3)
        assert row["feret_diameter_max"] == pytest.approx(across.max(), rel=1e-3)
        assert row["convexity"] == pytest.approx(perimeter(convex) / region.perimeter)
        assert row["form_factor"] == pytest.approx(4 * np.pi * region.area / region.perimeter**2)


def test_zernike_moments_are_those_summed_pixel_by_pixel() -> None:
    import cv2

    labels, _ = simulated()
    found = measure_objects(labels, families=("shape",)).set_index("label")
    for region in list(regionprops(labels))[::9]:
        (x, y), radius = cv2.minEnclosingCircle(region.coords[:, ::-1].astype(np.float32))
        place = ((region.coords[:, 0] - y) + 1j * (region.coords[:, 1] - x)) / radius
        for n in range(10):
            for m in range(n % 2, n + 1, 2):
                steps = [
                    (-1) ** k * math.factorial(n - k) * np.abs(place) ** (n - 2 * k)
                    / math.prod(map(math.factorial, (k, (n + m) // 2 - k, (n - m) // 2 - k)))
                    for k in range((n - m) // 2 + 1)
                ]  # fmt: skip
                value = abs((sum(steps) * np.exp(1j * m * np.angle(place))).sum()) / (np.pi * radius**2)
                assert found.loc[region.label, f"zernike_{n}_{m}"] == pytest.approx(value, abs=2e-3), (n, m)


def test_shapes_that_are_known() -> None:
    labels = np.zeros((300, 300), np.uint8)
    y, x = np.mgrid[:300, :300]
    away = np.hypot(y - 80, x - 80)
    labels[away <= 60] = 1
    labels[(np.hypot(y - 220, x - 80) <= 60) & (np.hypot(y - 220, x - 80) > 20)] = 2
    labels[200:240, 200:240] = 3
    labels[[10, 280], 250] = 4
    disc, ring, square, two = (row for _, row in measure_objects(labels).iterrows())
    assert disc["area"] == pytest.approx(np.pi * 60**2, rel=0.01)
    assert disc["perimeter"] == pytest.approx(2 * np.pi * 60, rel=0.06)
    assert disc["axis_major_length"] == pytest.approx(120, rel=0.01) and disc["eccentricity"] < 0.01
    assert disc["zernike_0_0"] == pytest.approx(1, rel=0.01)
    assert all(disc[f"zernike_{n}_{m}"] < 0.02 for n, m in ((1, 1), (2, 0), (2, 2), (3, 3), (4, 4)))
    assert (disc["euler_number"], ring["euler_number"], square["euler_number"], two["euler_number"]) == (1, 0, 1, 2)
    assert (square["area"], square["perimeter"], square["solidity"], square["extent"]) == (1600, 156, 1, 1)
    assert (square["convexity"], disc["convexity"]) == (pytest.approx(1), pytest.approx(1))
    assert square["feret_diameter_min"] == 40 and square["feret_diameter_max"] == pytest.approx(np.hypot(40, 39))
    assert ring["solidity"] == pytest.approx(1 - 1 / 9, rel=0.02) and ring["convexity"] < 0.8
    assert two["perimeter"] == 0 and np.isnan(two["form_factor"]) and two["feret_diameter_max"] == 271


def test_edges_rings_and_the_ground_by_another_way() -> None:
    labels, image = simulated()
    found = measure_objects(labels, image, families=("shape", "intensity")).set_index("label")
    plane = image[0].astype(np.float64)
    for region in list(regionprops(labels))[::5]:
        row, mask = found.loc[region.label], np.pad(labels == region.label, 1)
        edge = mask & ~ndimage.binary_erosion(mask)
        to_edge, mask, edge = (a[1:-1, 1:-1] for a in (ndimage.distance_transform_edt(~edge), mask, edge))
        assert row["intensity_edge_mean-0"] == pytest.approx(plane[edge].mean())
        assert row["intensity_sum-0"] == pytest.approx(plane[mask].sum())
        y, x = np.nonzero(mask)
        away = np.hypot(y - y.mean(), x - x.mean())
        ring = np.minimum(4 * away / (away + to_edge[mask] + 1), 3).astype(int)
        for k in range(4):
            inside = plane[mask][ring == k]
            assert row[f"radial_fraction_{k + 1}-0"] == pytest.approx(inside.sum() / plane[mask].sum(), abs=1e-6)
            if inside.size:
                assert row[f"radial_mean_{k + 1}-0"] == pytest.approx(inside.mean() / plane[mask].mean(), rel=1e-6)
        apart = ndimage.distance_transform_edt(~mask)
        ground = plane[(labels == 0) & (apart > 2) & (apart <= 6)]
        if ground.size:
            assert row["intensity_background-0"] == np.median(ground)
            assert row["intensity_corrected-0"] == pytest.approx(plane[mask].mean() - np.median(ground))
        else:
            assert np.isnan(row["intensity_background-0"]) and np.isnan(row["intensity_corrected-0"])
        weighted = np.array(region.centroid) - [row["centroid_weighted-0-0"], row["centroid_weighted-1-0"]]
        assert row["mass_displacement-0"] == pytest.approx(np.hypot(*weighted), abs=1e-9)


def test_cooccurrence_is_scikit_images_within_the_object() -> None:
    labels, image = simulated()
    found = measure_objects(labels, image, families=("texture",)).set_index("label")
    angles = [0, np.pi / 2, np.pi / 4, 3 * np.pi / 4]
    for region in list(regionprops(labels, image[0]))[::11]:
        values, mask = region.image_intensity.astype(np.float64), region.image
        low, high = values[mask].min(), values[mask].max()
        levels = np.minimum((values - low) / (high - low) * LEVELS, LEVELS - 1)
        outside = np.where(mask, levels, LEVELS).astype(np.uint8)
        for distance in (1, 2):  # scikit-image rounds 4 / sqrt(2) to 3
            counts = graycomatrix(outside, [distance], angles[:2], LEVELS + 1, True)[:LEVELS, :LEVELS].astype(float)
            slant = graycomatrix(outside, [distance * np.sqrt(2)], angles[2:], LEVELS + 1, True)[:LEVELS, :LEVELS]
            both = np.concatenate([counts, slant], axis=3)
            both = both / both.sum((0, 1), keepdims=True)
            for name in ("contrast", "dissimilarity", "homogeneity", "energy", "correlation"):
                value = np.nanmean(graycoprops(both, name))
                assert found.loc[region.label, f"glcm{distance}_{name}-0"] == pytest.approx(value, rel=1e-6), name


def test_grains_patterns_and_waves() -> None:
    y, x = np.mgrid[:120, :120]
    labels = np.zeros((120, 120), np.int64)
    labels[30:90, 30:90] = 1
    wave = 10 + 3 * np.cos(2 * np.pi * y / 8)
    found = measure_objects(labels, wave[None], families=("texture",)).iloc[0]
    assert found["gabor8_range-0"] == pytest.approx(3, rel=0.02)  # seen in its own direction only
    assert found["gabor8_mean-0"] > 4 * found["gabor16_mean-0"] and found["gabor8_mean-0"] > 3 * found["gabor4_mean-0"]
    assert abs(gabor_kernel(8, 0.3).sum()) < 1e-12
    random = np.random.default_rng(0).random((120, 120))
    found = measure_objects(labels, random[None], families=("texture",)).iloc[0]
    left = [random]
    for radius in range(1, 7):
        disc = np.hypot(*np.mgrid[-radius : radius + 1, -radius : radius + 1]) <= radius
        left.append(ndimage.grey_opening(random, footprint=disc))
    sums = [plane[labels == 1].sum() for plane in left]
    for radius in range(1, 7):
        share = (sums[radius - 1] - sums[radius]) / (sums[0] - sums[-1])
        assert found[f"granularity_{radius}-0"] == pytest.approx(share)
    at = [(0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1)]
    around = np.array([np.roll(random, (-dy, -dx), (0, 1)) >= random for dy, dx in at])
    uniform = (around != np.roll(around, 1, axis=0)).sum(0) <= 2
    code = np.where(uniform, around.sum(0), 9)[labels == 1]
    for k in range(10):
        assert found[f"lbp1_{k}-0"] == pytest.approx((code == k).mean())
    bright = measure_objects(labels, 7 + 5 * random[None], families=("texture",)).iloc[0]
    same = [name for name in found.index if not name.startswith("gabor")]
    np.testing.assert_allclose(bright[same], found[same], rtol=1e-6)


def test_turning_and_moving_change_nothing_but_places() -> None:
    labels, image = simulated()
    every = OBJECT_FAMILIES[:4]
    here = measure_objects(labels, image, families=every).set_index("label")
    moved = measure_objects(np.pad(labels, ((7, 3), (2, 9))), np.pad(image, ((0, 0), (7, 3), (2, 9))), families=every)
    inner = here.index[~here["touches_border"] & (here[["bbox-0", "bbox-1"]].min(axis=1) > 30)
                       & (here[["bbox-2", "bbox-3"]].max(axis=1) < 226)]  # fmt: skip
    assert len(inner) > 5
    placed = [name for name in here if name.startswith(("centroid", "bbox", "touches"))]
    same = [name for name in here if name not in placed]
    np.testing.assert_allclose(moved.set_index("label").loc[inner, same], here.loc[inner, same], rtol=1e-6, atol=1e-9)
    turned = measure_objects(np.rot90(labels), np.rot90(image, axes=(1, 2)), families=every).set_index("label")
    same = [name for name in same if name != "orientation" and not name.startswith("granularity")]
    np.testing.assert_allclose(turned[same], here[same], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(turned["centroid-1"], here["centroid-0"])
    np.testing.assert_allclose(turned["centroid-0"], labels.shape[1] - 1 - here["centroid-1"])


def test_units_and_the_names_of_others() -> None:
    labels, image = simulated()
    plain, um = (measure_objects(labels, image, families=OBJECT_FAMILIES[:4], pixel_size=size) for size in (None, 0.25))
    assert {*plain} < {*um} and all(name.endswith(("_um", "_um2", "_per_mm2")) for name in {*um} - {*plain})
    np.testing.assert_allclose(um["area_um2"], um["area"] / 16)
    np.testing.assert_allclose(um["centroid_weighted-1-0_um"], um["centroid_weighted-1-0"] / 4)
    np.testing.assert_allclose(um["local_density_per_mm2"], um["local_density"] * 16e6)
    profiler = measure_objects(labels, image, naming="cellprofiler", channels=("DNA",), pixel_size=0.25)
    assert {"ObjectNumber", "AreaShape_Area", "AreaShape_Area_um2", "Intensity_MeanIntensity_DNA"} <= set(profiler)
    path = measure_objects(labels, image, naming="qupath", channels=("DNA",), pixel_size=0.25)
    assert {"Area px^2", "Area µm^2", "Centroid X µm", "Circularity", "DNA: Mean", "DNA: Std.Dev."} <= set(path)
    np.testing.assert_array_equal(path["Length µm"], um["perimeter_um"])
    for names in (profiler, path):
        assert len(set(names)) == names.shape[1] == measure_objects(labels, image, pixel_size=0.25).shape[1]
