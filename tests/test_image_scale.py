"""Images at another pixel size: the right level, no aliases, and a window that is that window of the whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from potency.data import rescale
from potency.data.image import Image, Memory
from potency.data.readers import open_image
from potency.errors import ImageError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 4096, (64, 80)).astype("uint16")
COLOUR = RNG.integers(0, 255, (64, 80, 3)).astype("uint8")


def test_unknown_pixel_size_is_not_rescaled() -> None:
    image = Image.of(GREY, "YX")
    assert image.at(1.0) is image


@pytest.mark.parametrize("um", [0.2, 0.37, 0.5, 0.9, 1.0, 2.3, 40.0])
@pytest.mark.parametrize("labels", [False, True])
def test_a_rescaled_window_equals_the_whole(um: float, labels: bool) -> None:
    image = Image.of(RNG.integers(0, 999, (2, 61, 47)), "CYX", pixel_size={"Y": 0.5, "X": 0.4}).at(um, labels=labels)
    whole = image[{}]
    assert whole.shape == image.shape == (2, max(1, round(61 * 0.5 / um)), max(1, round(47 * 0.4 / um)))
    assert image.pixel_size == {"Y": um, "X": um}
    assert whole.dtype == image.dtype
    for _ in range(20):
        y, x = (sorted(RNG.choice(n + 1, 2, replace=False)) for n in image.shape[1:])
        window = {"C": slice(1, 2), "Y": slice(*map(int, y)), "X": slice(*map(int, x))}
        np.testing.assert_array_equal(image[window], whole[1:2, y[0] : y[1], x[0] : x[1]])


def test_an_overview_of_a_large_image_is_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image.of(RNG.integers(0, 999, (3, 900, 70)), "ZYX", pixel_size=0.5)
    whole = image.at(2.2)[{}]
    heights: list[int] = []
    read = Memory.read
    monkeypatch.setattr(rescale, "READ", 100_000)
    monkeypatch.setattr(
        Memory, "read", lambda self, window, level: heights.append(window["Y"].stop) or read(self, window, level)
    )
    np.testing.assert_array_equal(image.at(2.2)[{}], whole)
    assert len(heights) > 5


def test_rescaling_is_the_same_as_pillow() -> None:
    smooth = RNG.normal(size=(60, 90)).cumsum(0).cumsum(1).astype("float32")
    for um, shape in ((2.0, (30, 45)), (0.5, (120, 180)), (3.0, (20, 30))):
        ours = Image.of(smooth, "YX", pixel_size=1.0).at(um)[{}]
        theirs = np.asarray(Pillow.fromarray(smooth).resize(shape[::-1], Pillow.Resampling.BILINEAR))
        np.testing.assert_allclose(ours, theirs, atol=1e-4 * float(np.abs(smooth).max()))


def test_shrinking_does_not_alias() -> None:
    stripes = np.tile(np.array([0, 1000], "uint16"), (64, 32))
    assert Image.of(stripes, "YX", pixel_size=1.0).at(2.0)[{"X": slice(1, 31)}].std() < 1


def test_labels_keep_their_numbers() -> None:
    labels = RNG.integers(0, 70_000, (40, 40)).astype("uint32")
    shrunk = Image.of(labels, "YX", pixel_size=1.0).at(1.7, labels=True)
    assert shrunk.dtype == np.uint32
    assert set(np.unique(shrunk[{}])) <= set(np.unique(labels))


def test_rescaling_twice_starts_from_the_original() -> None:
    image = Image.of(GREY, "YX", pixel_size=0.5)
    np.testing.assert_array_equal(image.at(2.0).at(1.0)[{}], image.at(1.0)[{}])
    np.testing.assert_array_equal(image.at(2.0).at(0.5)[{}], GREY)
    assert image.at(0.50001).dtype == image.dtype


@pytest.mark.parametrize("um", [0, -1, float("nan")])
def test_a_senseless_scale_is_refused(um: float) -> None:
    with pytest.raises(ImageError, match="is no pixel size"):
        Image.of(GREY, "YX").at(um)


def pyramid(path: Path) -> np.ndarray:
    """Write a pyramid whose levels hold constants that tell which level was read."""
    meta = {"axes": "YX", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25}
    base = np.full((257, 129), 1, "uint16")
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(base, subifds=2, tile=(32, 32), metadata=meta)
        file.write(np.full((128, 64), 2, "uint16"), subfiletype=1, tile=(32, 32))
        file.write(np.full((64, 32), 3, "uint16"), subfiletype=1, tile=(32, 32))
    return base


@pytest.mark.parametrize(("um", "level"), [(0.1, 1), (0.25, 1), (0.4, 1), (0.5, 2), (0.9, 2), (1.0, 3), (5.0, 3)])
def test_the_nearest_finer_level_is_read(tmp_path: Path, um: float, level: int) -> None:
    pyramid(tmp_path / "a.ome.tif")
    image = open_image(tmp_path / "a.ome.tif").at(um)
    np.testing.assert_allclose(image[{}], level, rtol=1e-6)
    assert image.shape[0] == pytest.approx(257 * 0.25 / um, rel=0.05)
    # A level of exactly the wanted size is handed out as it is, not blurred by rounding of its shape.
    assert image.dtype == ("uint16" if um in (0.25, 0.5, 1.0) else "float32")
