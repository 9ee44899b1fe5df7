"""Measurement: families are finite, deterministic, invariant where they say so, and agree with scikit-image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from skimage.draw import ellipse
from skimage.feature import graycomatrix, graycoprops
from skimage.measure import label, regionprops

from potency.errors import PlanError
from potency.measurement import FAMILIES, features
from potency.measurement.shape import foreground, shape
from potency.measurement.texture import LEVELS, cooccurrence

RANDOM = np.random.default_rng(7)
STRANGE = {
    "one pixel": np.full((1, 1, 1), 5, np.uint8),
    "one row": RANDOM.normal(size=(1, 1, 9)),
    "constant": np.full((1, 12, 12), 300, np.uint16),
    "binary": (RANDOM.random((1, 10, 8)) > 0.5),
    "some not a number": np.where(RANDOM.random((1, 16, 16)) > 0.8, np.nan, RANDOM.normal(size=(1, 16, 16))),
    "nothing but not a number": np.full((1, 6, 6), np.nan, np.float32),
    "infinite": np.where(np.eye(8) > 0, np.inf, 1.0)[None],
    "huge": RANDOM.normal(size=(1, 8, 8)) * 1e300,
    "32 bit": RANDOM.integers(0, 2**32 - 1, (1, 20, 20), dtype=np.uint32),
}


def blob(height: int = 48, width: int = 40, angle: float = 0.4) -> np.ndarray:
    plane = np.full((height, width), 100.0) + np.random.default_rng(0).normal(size=(height, width))
    rows, columns = ellipse(height / 2, width / 2, 14, 8, plane.shape, angle)
    plane[rows, columns] += 80
    return plane


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("strange", STRANGE)
def test_strange_crops_give_finite_numbers(family: str, strange: str) -> None:
    names, values = FAMILIES[family]([STRANGE[strange]])
    assert values.shape == (1, len(names))
    assert np.isfinite(values).all()
    assert np.isfinite(values.astype(np.float32)).all()  # forests work in single precision


@pytest.mark.parametrize("family", FAMILIES)
def test_a_crop_measures_the_same_alone_and_in_company(family: str) -> None:
    crops = [RANDOM.integers(0, 255, (2, *size), dtype=np.uint8) for size in [(20, 20), (31, 17), (20, 20), (7, 9)]]
    names, together = FAMILIES[family](crops, channels=("phase", "dark"))
    alone = np.concatenate([FAMILIES[family]([crop], channels=("phase", "dark"))[1] for crop in crops])
    np.testing.assert_allclose(together, alone, rtol=1e-9, atol=1e-12)
    assert len(set(names)) == len(names)
    assert {name.split(".")[1] for name in names} == {"phase", "dark"}


def test_names_are_the_same_for_every_size_and_are_stable() -> None:
    small, large = (features([RANDOM.random((1, n, n))], tuple(FAMILIES)) for n in (1, 70))
    assert list(small) == list(large)
    assert len(small.columns) == 220 + 24 + 1764  # of colonies, of hog
    assert list(small)[:6] == [
        f"trivial.c0.{name}" for name in ("width_px", "height_px", "area_px2", "object_area_px2", "mean", "variance")
    ]


def test_texture_ignores_brightness_and_contrast() -> None:
    plane = RANDOM.random((1, 32, 32))
    dim, bright = (features([image], ("texture",)) for image in (plane, 40 * plane + 7))
    kept = [name for name in dim if ".edge_" not in name or name.endswith("_relative")]
    np.testing.assert_allclose(dim[kept], bright[kept], rtol=1e-6, atol=1e-9)


def test_radial_profile_tells_a_ring_from_a_disc() -> None:
    y, x = np.mgrid[:41, :41] - 20
    disc, ring = np.hypot(y, x) < 8, (np.hypot(y, x) > 14) & (np.hypot(y, x) < 19)
    found = features([disc[None], ring[None]], ("intensity",))["intensity.c0.edge_minus_centre"]
    assert found[0] < 0 < found[1]


def test_cooccurrence_agrees_with_scikit_image() -> None:
    levels = RANDOM.integers(0, LEVELS, (1, 24, 19))
    ours = cooccurrence(levels)
    # The fourth angle of scikit-image runs to the lower left for a symmetric matrix, as ours does.
    matrix = graycomatrix(levels[0].astype(np.uint8), [1], [0, np.pi / 2, np.pi / 4, 3 * np.pi / 4], LEVELS, True, True)
    for name in ("contrast", "dissimilarity", "homogeneity", "energy", "correlation"):
        np.testing.assert_allclose(ours[f"glcm1_{name}"][0], graycoprops(matrix, name).mean(), rtol=1e-9)


def test_shape_agrees_with_scikit_image() -> None:
    plane = blob()
    found = {name: float(value[0]) for name, value in shape(plane[None]).items()}
    theirs = max(regionprops(label(foreground(plane))), key=lambda region: region.area)
    assert found["area_px2"] == theirs.area
    assert found["major_axis_px"] == pytest.approx(theirs.axis_major_length)
    assert found["minor_axis_px"] == pytest.approx(theirs.axis_minor_length)
    assert found["eccentricity"] == pytest.approx(theirs.eccentricity)
    assert found["extent"] == pytest.approx(theirs.extent)
    assert found["solidity"] == pytest.approx(theirs.solidity, abs=0.03)
    assert found["perimeter_px"] == pytest.approx(theirs.perimeter, rel=0.08)
    assert found["feret_px"] == pytest.approx(theirs.feret_diameter_max, rel=0.05)


def test_shape_sees_dark_objects_as_bright_ones_and_counts_holes() -> None:
    plane = blob()
    dark = shape((200 - plane)[None])
    for name, value in shape(plane[None]).items():
        assert dark[name][0] == pytest.approx(value[0] if name != "contrast" else -value[0], rel=1e-6), name
    hollow = np.zeros((1, 40, 40))
    hollow[0, 8:32, 8:32] = 1
    hollow[0, 16:24, 16:24] = 0
    assert shape(hollow)["holes"][0] == 1
    assert shape(hollow)["hole_share"][0] == pytest.approx(64 / 576, abs=0.05)


def test_lengths_become_micrometres_where_the_pixel_size_is_known() -> None:
    image = blob()[None]
    pixels, um = FAMILIES["shape"]([image]), FAMILIES["shape"]([image], 0.5)
    area, diameter = um[0].index("shape.c0.area_um2"), um[0].index("shape.c0.diameter_um")
    assert um[1][0, area] == pytest.approx(pixels[1][0, area] / 4)
    assert um[1][0, diameter] == pytest.approx(pixels[1][0, diameter] / 2)
    assert um[1][0, um[0].index("shape.c0.solidity")] == pixels[1][0, pixels[0].index("shape.c0.solidity")]


def test_wrong_calls_are_explained() -> None:
    with pytest.raises(PlanError, match="no feature family 'textur'(.|\n)*did you mean 'texture'"):
        features([np.ones((1, 4, 4))], ("textur",))
    with pytest.raises(PlanError, match=r"crops have \[1, 2\] channels"):
        features([np.ones((1, 4, 4)), np.ones((2, 4, 4))], ("trivial",))
    with pytest.raises(PlanError, match="at least one pixel"):
        features([np.ones((1, 0, 4))], ("trivial",))


def test_no_crops_give_an_empty_table() -> None:
    assert features([], ("intensity", "shape")).shape[0] == 0


def test_measure_adds_columns_and_keeps_going_past_a_damaged_file(tmp_path: Path) -> None:
    manifest_room = pytest.importorskip("potency.data.manifest", reason="the data room")
    from potency.measurement import measure

    for k in range(3):
        np.save(tmp_path / f"{k}.npy", blob() + k)
    (tmp_path / "1.npy").write_bytes(b"\x93NUMPY damaged")
    table = pd.DataFrame({"image": [f"{k}.npy" for k in range(3)], "label": ["a", "b", "a"], "group": ["g", "h", "i"]})
    table.to_csv(tmp_path / "labels.csv", index=False)
    seen: list[tuple[int, int]] = []
    found = measure(
        manifest_room.Manifest.read(tmp_path), families=("shape",), progress=lambda *at: seen.append(at)
    ).table
    area = next(name for name in found if name.startswith("measure.shape.") and ".area_" in name)
    assert found[area].notna().tolist() == [True, False, True]
    assert found["measure.error"].notna().tolist() == [False, True, False]
    assert seen[-1] == (3, 3)


@pytest.mark.parametrize(("name", "least"), [("tcell_autofluor", 0.85)])
def test_a_forest_on_the_features_reaches_what_was_measured(real_images: Path, name: str, least: float) -> None:
    from PIL import Image as Picture
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_score

    folder = real_images / "classify" / name
    table = pd.read_csv(folder / "labels.csv")
    crops = [np.asarray(Picture.open(folder / file))[None] for file in table["file"]]
    found = features(crops)
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    forest = RandomForestClassifier(100, min_samples_leaf=2, random_state=0)
    assert cross_val_score(forest, found, table["label"], groups=table["group"], cv=folds).mean() > least
