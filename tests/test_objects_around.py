"""Objects and what is around them: neighbours, types, regions, chance; ids of all kinds, odd pixels and bad input."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from cell_masks import noise, simulated
from scipy import ndimage
from scipy.spatial import Delaunay
from scipy.spatial.distance import cdist
from skimage.measure import regionprops

from potency.errors import ImageError, PlanError
from potency.measurement.objects import OBJECT_FAMILIES, measure_objects, nearest_between, ripley


def test_neighbours_by_another_way() -> None:
    labels, _ = simulated()
    found = measure_objects(labels, families=("neighbours",)).set_index("label")
    points = np.array([region.centroid for region in regionprops(labels)])
    start, beside = Delaunay(points).vertex_neighbor_vertices
    away = np.sort(cdist(points, points), axis=1)
    np.testing.assert_allclose(found["nearest_distance_5"], away[:, 5])
    np.testing.assert_allclose(found["local_density"], 4 / (np.pi * away[:, 5] ** 2))
    met = 0
    for k, region in enumerate(regionprops(labels)):
        row, mask = found.loc[region.label], np.pad(labels == region.label, 1)
        mates = beside[start[k] : start[k + 1]]
        assert row["delaunay_neighbours"] == len(mates)
        assert row["delaunay_distance"] == pytest.approx(np.hypot(*(points[mates] - points[k]).T).mean())
        others = np.pad(labels, 1) * ~mask
        assert row["touching_neighbours"] == np.unique(others[ndimage.binary_dilation(mask, np.ones((3, 3)))]).size - 1
        edge = mask & ~ndimage.binary_erosion(mask)
        share = ndimage.binary_dilation(others > 0, np.ones((3, 3)))[edge].mean()
        assert row["touching_fraction"] == pytest.approx(share)
        met += row["touching_neighbours"]
    assert met > 10


def test_too_few_objects_for_neighbours() -> None:
    labels = np.zeros((20, 60), int)
    assert measure_objects(labels, families=("neighbours",)).shape == (0, 9)
    for k in range(4):  # on a line, there are no triangles
        labels[4:8, 10 * k : 10 * k + 4] = k + 1
        found = measure_objects(labels, families=("neighbours",))
        assert found["delaunay_neighbours"].tolist() == [[0], [1, 1], [1, 2, 1], [1, 2, 2, 1]][k]
        assert found["local_density"].isna().all()
        assert found["delaunay_distance"].dropna().eq(10).all()
    labels = np.zeros((20, 20), int)
    labels[5:14, 5:14], labels[9, 9], labels[0, 0], labels[0, 19] = 1, 2, 3, 4  # 1 and 2 have the same centre
    assert measure_objects(labels, families=("neighbours",))["delaunay_neighbours"].min() > 0


def test_distances_to_types_and_regions() -> None:
    labels, _ = simulated()
    regions = np.zeros(labels.shape, np.uint8)
    regions[:100, :120], regions[180:] = 3, 7
    ids = [region.label for region in regionprops(labels)]
    types = {number: "odd" if number % 2 else "even" for number in ids} | {10**6: "elsewhere"}
    found = measure_objects(labels, families=("spatial",), types=types, regions=regions, pixel_size=0.5)
    points = np.array([region.centroid for region in regionprops(labels)])
    apart = cdist(points, points) + np.diag(np.full(len(points), np.inf))
    assert found["type"].tolist() == [types[number] for number in ids]
    odd = np.array(ids) % 2 == 1
    np.testing.assert_allclose(found["type_distance-odd"], apart[:, odd].min(1))
    np.testing.assert_allclose(found["type_distance-even_um"], apart[:, ~odd].min(1) / 2)
    y, x = np.round(points).astype(int).T
    assert (found["region"] == regions[y, x]).all()
    for value in (3, 7):
        outside = ndimage.distance_transform_edt(regions != value)
        inside = ndimage.distance_transform_edt(regions == value)
        np.testing.assert_allclose(found[f"region_distance-{value}"], (outside - inside)[y, x], rtol=1e-5)


def test_ripley_by_its_formula_and_of_points_that_are_known() -> None:
    random = np.random.default_rng(3)
    points, kinds = random.random((60, 2)) * [40, 70], random.choice(["a", "b"], 60)
    table = ripley(points, (40, 70), [4, 9], kinds.tolist()).set_index(["from", "to", "radius"])
    for one, other, radius in table.index:
        total = n = 0.0
        for i in np.flatnonzero(kinds == one):
            for j in np.flatnonzero(kinds == other):
                dy, dx = np.abs(points[i] - points[j])
                n += i != j
                total += (i != j) * (np.hypot(dy, dx) <= radius) / ((40 - dy) * (70 - dx))
        assert table.loc[(one, other, radius), "k"] == pytest.approx(total * (40 * 70) ** 2 / n)
    chance = [ripley(random.random((400, 2)) * 100, (100, 100), [5, 20])["k"].to_numpy() for _ in range(40)]
    np.testing.assert_allclose(np.mean(chance, 0), np.pi * np.array([25, 400]), rtol=0.03)  # unbiased to the border
    grid = np.stack(np.mgrid[5:100:10, 5:100:10], -1).reshape(-1, 2)
    assert ripley(grid, (100, 100), [9])["k"].item() == 0
    gathered = np.concatenate([c + random.normal(0, 1, (20, 2)) for c in random.random((20, 2)) * 80 + 10])
    assert ripley(gathered, (100, 100), [4])["l_minus_r"].item() > 4
    assert np.isnan(ripley(points[:1], (40, 70), [4])["k"].item())
    assert ripley(np.zeros((0, 2)), (40, 70), [4]).empty


def test_the_nearest_between_types_against_chance() -> None:
    random = np.random.default_rng(5)
    rows = [nearest_between(random.random((300, 2)) * 100, (100, 100), ["a", "b", "b"] * 100) for _ in range(40)]
    for _, row in pd.concat(rows).groupby(["from", "to"]).mean(numeric_only=True).iterrows():
        assert row["ratio"] == pytest.approx(1, abs=0.03)
        assert row["used"] < row["from_count"]
    grid = np.stack(np.mgrid[5:100:10, 5:100:10], -1).reshape(-1, 2)
    regular = nearest_between(grid, (100, 100)).iloc[0]
    assert (regular["mean"], regular["median"], regular["ratio"]) == (pytest.approx(10), 10, pytest.approx(2))
    single = nearest_between(grid[:2], (100, 100), ["a", "b"]).set_index(["from", "to"])
    assert np.isnan(single.loc[("a", "a"), "mean"]) and single.loc[("a", "b"), "to_count"] == 1


def test_ids_may_be_anything_above_zero() -> None:
    labels, image = simulated()
    plain = measure_objects(labels, image)
    assert len(plain) > 20
    for kind, step in ((np.uint8, 1), (np.int16, 3), (np.uint16, 900), (np.dtype(">u4"), 70_000_000), (np.int64, 2**50),
                       (np.uint64, 2**54)):  # fmt: skip
        spread = np.asfortranarray(labels.astype(kind) * np.array(step, kind))
        found = measure_objects(np.repeat(spread, 2, axis=1)[:, ::2], image)
        assert found["label"].tolist() == [number * step for number in plain["label"]], kind
        pd.testing.assert_frame_equal(found.drop(columns="label"), plain.drop(columns="label"))
    many = np.zeros((600, 500), np.uint32)
    many[::2, ::2] = np.arange(75_000).reshape(300, 250) + 1
    found = measure_objects(many)
    assert found["label"].tolist() == list(range(1, 75_001)) and found["area"].eq(1).all()
    assert found["feret_diameter_max"].eq(1).all() and found["zernike_0_0"].isna().all()


def test_no_object_one_object_and_objects_at_every_border() -> None:
    labels, image = noise()
    columns = list(measure_objects(labels, image, families=OBJECT_FAMILIES[:4]))
    none = measure_objects(np.zeros_like(labels), image, families=OBJECT_FAMILIES[:4])
    assert list(none) == columns and len(none) == 0
    whole = measure_objects(np.ones_like(labels), image, families=OBJECT_FAMILIES[:4]).iloc[0]
    assert (whole["area"], whole["touches_border"], whole["euler_number"]) == (40 * 53, True, 1)
    assert np.isnan(whole["intensity_background-0"]) and whole["intensity_sum-1"] == pytest.approx(image[1].sum())
    labels = np.zeros((9, 9), int)
    labels[0, 4], labels[8, 4], labels[4, 0], labels[4, 8], labels[4, 4] = range(1, 6)
    assert measure_objects(labels)["touches_border"].tolist() == [True] * 4 + [False]
    assert len(measure_objects(np.ones((1, 1), int), np.ones((1, 1, 1)), families=OBJECT_FAMILIES[:4])) == 1


def test_pixels_that_are_no_numbers_stay_with_their_object() -> None:
    labels, image = noise()
    image[0][labels == 2] = np.nan
    image[1][tuple(np.argwhere(labels == 3)[0])] = np.inf
    found = measure_objects(labels, image, families=("intensity", "texture")).set_index("label")
    own = [name for name in found if not any(word in name for word in ("background", "corrected", "radial_mean"))]
    for channel, number in (("0", 2), ("1", 3)):
        wrong = found.loc[number, [name for name in own if name.endswith(f"-{channel}")]]
        assert wrong.isna().all()
    assert found.loc[[1, 4, 5], own].notna().all(axis=None)


def test_bad_input_is_explained() -> None:
    labels, image = noise()
    for wrong, said in ((labels.astype(float), "ids of a label image are whole numbers"), (-labels, "negative id, -5"),
                        (labels > 0, "mask of true and false"), (labels[None], r"axes \(Y, X\)"),
                        (labels[:0], "no pixels")):  # fmt: skip
        with pytest.raises(ImageError, match=said):
            measure_objects(wrong)
    with pytest.raises(ImageError, match="39 x 53 pixels and the label image 40 x 53"):
        measure_objects(labels, image[:, 1:])
    with pytest.raises(ImageError, match="axes"):
        measure_objects(labels, image[0])
    with pytest.raises(ImageError, match="map of regions"):
        measure_objects(labels, families=("spatial",), regions=labels[1:])
    for given, said in (
        ({"families": ("shap",)}, "no family 'shap'(.|\n)*did you mean 'shape'"),
        ({"families": ("texture",)}, "texture needs an image"),
        ({"families": ("spatial",)}, "needs types or regions"),
        ({"naming": "cellprofile"}, "did you mean 'cellprofiler'"),
        ({"types": ["a"]}, "1 types for 5 objects"),
        ({"types": {1: "a"}}, "4 objects have no type, the first is 2"),
        ({"image": image, "channels": ("a",)}, "1 names are given for 2 channels"),
        ({"pixel_size": 0.0}, "not 0.0 um wide"),
    ):
        with pytest.raises(PlanError, match=said):
            measure_objects(labels, **given)
    for points, radii, said in (([[5, 60]], [2], "outside of the field"), ([[5, 5]], [11], "quarter of the shorter"),
                                ([[5, 5], [np.nan, 3]], [2], "1 points have a place that is no number")):  # fmt: skip
        with pytest.raises(PlanError, match=said):
            ripley(points, (40, 50), radii)
    with pytest.raises(PlanError, match="2 types for 1 points"):
        nearest_between([[5, 5]], (40, 50), ["a", "b"])
