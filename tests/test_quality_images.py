"""Quality of single images: noise, saturation, focus, confluence, light and objects against truth known by making."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zoo
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from potency.errors import ImageError, PlanError
from potency.measurement.quality import calibration, camera, focus, ground, light, objects
from potency.measurement.quality.flatfield import Light, learn_light
from potency.measurement.quality.measures import MEASURES, Seen, judge
from potency.simulate import World, faults
from potency.simulate.defocus import blurred, sigma_of, through_focus
from potency.simulate.survey import visits
from potency.simulate.world import wells_of

EMPTY = np.zeros((200, 200), np.bool_)


def fields(look: str, cells: int, count: int = 3, **more: int) -> list[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    """Simulated fields of view and where their cells are."""
    few = {"cells": cells * count, "groups": 1, "wells": count, "field": 384, "seed": 5}
    world = World.of({"look": look, **few, **more})
    return [(next(iter(v.field.pictures.values())).astype(np.float32), v.field.labels > 0)
            for v in visits(world, wells_of(world))]  # fmt: skip


@pytest.mark.parametrize("sigma", [0.8, 3.0, 40.0])
@pytest.mark.parametrize("whole", [True, False])
def test_noise_is_that_which_was_added(sigma: float, whole: bool) -> None:
    rng = np.random.default_rng(0)
    clean = 500 + 9000 * gaussian_filter(rng.normal(size=(256, 256)), 20)
    noisy = clean + rng.normal(0, sigma, clean.shape)
    plane = (np.rint(noisy) if whole else noisy).astype(np.float32)
    truth = np.hypot(sigma, np.sqrt(1 / 12)) if whole else sigma  # to round to counts is noise as well
    assert camera.noise(plane, whole) == pytest.approx(truth, rel=0.05)


def test_saturation_is_seen_at_the_top_of_any_camera_and_nowhere_else() -> None:
    rng = np.random.default_rng(0)
    sound = rng.integers(100, 3000, (100, 100)).astype(np.float32)
    assert camera.saturated(sound, np.dtype("uint16")) == 0
    for top in (4095, 3217):  # a camera of 12 bits, and one whose wells are full at an odd count
        clipped = np.minimum(sound * 1.5, top)
        share = camera.saturated(clipped, np.dtype("uint16"))
        assert share == pytest.approx(float(np.mean(sound * 1.5 >= top))) and share > 0.05
    assert camera.saturated(np.full((9, 9), 255, np.float32), np.dtype("uint8")) == 0  # constant is another fault
    assert camera.saturated(sound / 3000, np.dtype("float32")) == 0
    assert camera.black(np.maximum(sound - 500, 0), np.dtype("uint16")) == pytest.approx(float(np.mean(sound <= 500)))


@pytest.mark.parametrize("measure", focus.NAMES)
def test_every_focus_measure_falls_with_blur_and_ignores_gain_and_offset(measure: str) -> None:
    (plane, _), *_ = fields("phase", 40, 1)
    grain, rng = camera.noise(plane, True), np.random.default_rng(0)
    series = [blurred(plane, sigma, grain, rng) for sigma in (0, 1.5, 3, 6)]
    values = [focus.measures(one, camera.noise(one, True))[measure] for one in series]
    assert values[0] > values[1] > values[2] >= values[3]
    scaled = focus.measures(plane * 0.25 + 1000, grain * 0.25)[measure]
    assert scaled == pytest.approx(focus.measures(plane, grain)[measure], rel=1e-3)


def test_noise_does_not_pass_for_sharpness() -> None:
    rng = np.random.default_rng(1)
    soft = 1000 * gaussian_filter(rng.normal(size=(256, 256)), 4) * 8
    noisy = (soft + rng.normal(0, 60, soft.shape)).astype(np.float32)
    for name in ("tenengrad", "brenner"):
        truth = focus.measures(soft.astype(np.float32), 0.0)[name]
        aware, naive = (focus.measures(noisy, known)[name] for known in (camera.noise(noisy, False), 0.0))
        assert abs(aware - truth) < 0.25 * abs(naive - truth)


@pytest.mark.parametrize("look", ["fluorescence", "phase"])
def test_the_said_blur_is_that_of_the_optics(look: str) -> None:
    away = (0.0, 4.0, 8.0, 12.0, 18.0)
    true, said = [], []
    for seed in (40, 41, 42):
        world = World(look=look, cells=40, groups=1, wells=1, field=320, seed=seed, pixel_size=0.5)
        for distance, taken in zip(away, through_focus(world, away), strict=True):
            plane = next(iter(taken.pictures.values())).astype(np.float32)
            said.append(focus.blur(focus.measures(plane, camera.noise(plane, True))))
            true.append(sigma_of(look, distance, 0.5))
    assert spearmanr(said, true).statistic > 0.85
    assert 2 ** np.median(np.abs(np.log2(np.array(said) / np.array(true)))) < 1.7


def test_the_calibration_has_one_number_a_measure_and_rises() -> None:
    assert calibration.NAMES == focus.NAMES
    assert {len(row) for row in (calibration.CENTRE, calibration.SPREAD, calibration.WEIGHTS)} == {len(focus.NAMES)}
    assert all(weight <= 0 for weight in calibration.WEIGHTS)  # no sharper measure may mean more blur
    assert all(list(row) == sorted(row) for row in (calibration.KNOTS, calibration.LEVELS))


def test_there_is_no_blur_to_put_where_the_optics_are_no_gaussian() -> None:
    with pytest.raises(PlanError, match="look 'brightfield' is no Gaussian blur"):
        sigma_of("brightfield", 3.0, 0.5)


@pytest.mark.parametrize("look", ["brightfield", "phase"])
@pytest.mark.parametrize(("cells", "error"), [(1, 0.02), (25, 0.05), (80, 0.12)])
def test_confluence_is_that_of_the_masks(look: str, cells: int, error: float) -> None:
    for plane, mask in fields(look, cells):
        assert abs(ground.covered(plane, True).mean() - mask.mean()) < error


@pytest.mark.parametrize("look", ["brightfield", "phase"])
def test_a_field_that_is_full_is_not_parted(look: str) -> None:
    full = fields(look, 700, 3)
    assert np.mean([mask.mean() for _, mask in full]) > 0.9
    assert np.mean([ground.covered(plane, True).mean() for plane, _ in full]) > 0.85


def test_confluence_does_not_mind_uneven_light_and_sees_nothing_in_noise() -> None:
    for plane, mask in fields("phase", 25, 2):
        uneven = (plane * faults.shade(plane.shape)).astype(np.float32)
        even, shaded = (ground.covered(one, True).mean() for one in (plane, uneven))
        assert abs(shaded - even) < 0.04 and abs(shaded - mask.mean()) < 0.08
    grain = np.random.default_rng(0).normal(1000, 20, (400, 400)).astype(np.float32)
    assert ground.covered(grain, False).mean() < 0.002


def test_confluence_of_a_large_image_is_that_of_its_parts() -> None:
    (plane, _), *_ = fields("phase", 40, 1)
    large = np.tile(plane, (5, 4))
    parts = ground.covered(plane, True)
    whole = ground.covered(large, True)
    assert whole.shape == large.shape and abs(whole.mean() - parts.mean()) < 0.1


def test_confluence_on_real_phase_contrast(real_images: Path) -> None:
    from potency.data.readers import open_image

    folder, away = real_images / "segment/usiigaci_phase/test", []
    files = sorted(folder.glob("images/*.png"))
    if not files:
        pytest.skip("real images: no usiigaci_phase")
    for path in files:
        plane = open_image(path).crop()[0].astype(np.float32)
        mask = open_image(folder / "labels" / f"{path.stem}.tif").crop()[0] > 0
        away.append(ground.covered(plane, True).mean() - mask.mean())
    assert np.mean(np.abs(away)) < 0.1


@pytest.mark.parametrize("tilt", [0.0, 0.1, 0.25])
def test_unevenness_is_the_planted_one_also_beside_cells(tilt: float) -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1:1:200j, -1:1:200j]
    plane = (1000 * (1 + tilt * x) + rng.normal(0, 10, x.shape)).astype(np.float32)
    assert light.unevenness(plane, EMPTY) == pytest.approx(2 * tilt, abs=0.03)
    blob = (x - 0.5) ** 2 + y**2 < 0.1
    plane[blob] *= 3
    assert light.unevenness(plane, EMPTY) == pytest.approx(2 * tilt, abs=0.05)  # cells that nobody has told of
    assert light.unevenness(plane, blob) == pytest.approx(2 * tilt, abs=0.04)
    assert np.isnan(light.unevenness(plane[:64, :64], EMPTY[:64, :64]))


@pytest.mark.parametrize("look", ["brightfield", "fluorescence"])
def test_known_shading_is_learned_from_many_images(look: str) -> None:
    planes = [plane for plane, _ in fields(look, 20, 16, field=192)]
    own, shade = learn_light(planes), faults.shade(planes[0].shape)
    shaded = [own.correct(plane) * shade for plane in planes]
    found = learn_light(shaded)
    left = found.flat / shade
    assert np.std(left / left.mean()) < 0.02 < 0.1 < np.std(shade)
    again = found.correct(shaded[0]) / own.correct(planes[0])
    assert np.std(again) / np.mean(again) < 0.02


def test_the_offset_of_the_camera_is_found_where_brightness_varies() -> None:
    rng, shade = np.random.default_rng(0), faults.shade((90, 120))
    planes = [300 + level * shade + rng.normal(0, 2, shade.shape) for level in rng.uniform(400, 1600, 20)]
    found = learn_light(planes, offset=None)
    assert found.offset == pytest.approx(300, abs=15)
    np.testing.assert_allclose(found.flat, shade, rtol=0.02)


def test_light_survives_writing_and_says_what_it_cannot_do(tmp_path: Path) -> None:
    planes = [faults.shade((60, 80)) * level for level in (90.0, 100.0, 130.0)]
    planes[0][:5, :5] = np.nan
    made = learn_light(planes)
    again = Light.read(made.write(tmp_path / "new" / "light.tif"))
    np.testing.assert_array_equal(again.flat, made.flat)
    assert again.flat.dtype == np.float32 and again.unevenness == pytest.approx(made.unevenness)
    with pytest.raises(ImageError, match=r"an image of \(9, 9\) pixels cannot be corrected"):
        made.correct(np.zeros((9, 9)))
    with pytest.raises(PlanError, match="2 images cannot tell light from cells"):
        learn_light(planes[:2])
    with pytest.raises(PlanError, match="the images have 2 sizes"):
        learn_light([*planes, np.ones((9, 9))])
    with pytest.raises(PlanError, match="hold no light"):
        learn_light([np.zeros((20, 20))] * 3)
    with pytest.raises(ImageError, match="cannot be read"):
        Light.read(tmp_path / "nowhere.tif")
    (tmp_path / "broken.tif").write_bytes(b"II*\0no tiff")
    with pytest.raises(ImageError, match=r"cannot be read|no flat field"):
        Light.read(tmp_path / "broken.tif")


def test_planted_faults_are_told_from_the_same_fields_without() -> None:
    rng = np.random.default_rng(0)
    phase = [plane for plane, _ in fields("phase", 40, 8, field=448)]
    stain = [plane for plane, _ in fields("fluorescence", 30, 6)]
    hit = [objects.bubbles(faults.bubble(plane, rng)) > 0 for plane in phase]
    false = [objects.bubbles(plane) > 0 for plane in phase]
    assert np.mean(hit) >= 0.6 and np.mean(false) <= 0.25

    def specks(plane: NDArray[np.float32]) -> float:
        return judge(plane)["specks_per_mpx"]

    assert all(specks(faults.specks(plane, rng, 120)) > specks(plane) for plane in phase)
    hazy = [judge(faults.haze(plane))["haze"] for plane in stain]
    assert roc_auc_score([0] * 6 + [1] * 6, [judge(plane)["haze"] for plane in stain] + hazy) == 1


STRANGE = {
    "one pixel": np.full((1, 1), 5, np.uint8),
    "a line": np.arange(500, dtype=np.uint16)[None],
    "constant": np.full((200, 200), 300, np.uint16),
    "nothing but not a number": np.full((130, 130), np.nan, np.float32),
    "gaps": np.where(np.random.default_rng(0).random((150, 150)) > 0.9, np.nan, 5.0 * np.arange(150)),
    "infinite": np.where(np.eye(140) > 0, np.inf, 1.0),
    "huge": np.random.default_rng(0).normal(size=(140, 140)) * 1e300,
    "binary": np.random.default_rng(0).random((140, 140)) > 0.5,
    "only noise": np.random.default_rng(0).normal(size=(140, 140)),
    "two values": (np.indices((400, 400)).sum(0) % 2 * 255).astype(np.uint8),
    "32 bit": np.random.default_rng(0).integers(0, 2**32 - 1, (140, 140), dtype=np.uint32),
}


@pytest.mark.parametrize("strange", STRANGE)
def test_strange_planes_are_judged_without_a_warning(strange: str) -> None:
    found = judge(STRANGE[strange])
    assert all(isinstance(value, float) for value in found.values())
    assert 0 <= found["not_finite"] <= 1 and 0 <= found["saturated"] <= 1 and np.isfinite(found["brightness"])
    assert not np.isinf(list(found.values())).any()
    assert 0 <= found.get("confluence", 0) <= 1


def test_all_measures_have_names_of_their_own_and_a_title() -> None:
    plane = fields("phase", 20, 1)[0][0]
    named = [name for measure in MEASURES.values() for name in measure.of(Seen.of(plane))]
    assert len(named) == len(set(named)) and list(judge(plane)) == named
    assert all(measure.title for measure in MEASURES.values())


def test_a_crop_of_a_cell_is_judged_too() -> None:
    pictures, *_ = zoo.arrays(4, size=64)
    found = judge(pictures[0, 0])
    assert np.isfinite(found["focus_blur_px"]) and np.isnan(found["unevenness"]) and np.isnan(found["bubbles"])
