"""Every reader in the visible list keeps the contract: axes, size, windows, levels, threads, workers."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from types import ModuleType
from typing import cast

import numpy as np
import pytest
from example_images import EXAMPLES, Example

from potency.data.image import AXES, Image
from potency.data.readers import READERS, SUFFIXES, open_image


def name_of(reader: object) -> str:
    return cast(ModuleType, reader).__name__.rsplit(".", 1)[-1]


CASES = [(reader, write) for reader in READERS for write in EXAMPLES.get(name_of(reader), ())]


@pytest.fixture(params=CASES, ids=lambda case: f"{name_of(case[0])}-{case[1].__qualname__.split('.')[0]}")
def case(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Image, Example]:
    reader, write = request.param
    path = tmp_path / f"a picture of Zürich {reader.suffixes[0]}"
    example = write(path)
    return open_image(path), example


def cut(image: Image, seed: int) -> dict[str, slice]:
    """Choose a random window of an image."""
    rng = np.random.default_rng(seed)
    ends = {axis: sorted(rng.choice(size + 1, 2, replace=False)) for axis, size in image.sizes.items()}
    return {axis: slice(int(low), int(high)) for axis, (low, high) in ends.items()}


def test_every_reader_in_the_list_has_an_example() -> None:
    assert [name_of(reader) for reader in READERS] == list(EXAMPLES)
    assert len(set(SUFFIXES)) == len(SUFFIXES)
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in SUFFIXES)


def test_axes_size_and_names(case: tuple[Image, Example]) -> None:
    image, example = case
    assert image.axes == example.axes
    assert [AXES.index(axis) for axis in image.axes] == sorted(AXES.index(axis) for axis in image.axes)
    assert image.shape == example.truth.shape
    assert image.dtype == example.truth.dtype.newbyteorder("=")
    assert image.dtype.isnative
    if example.pixel_size is None:
        assert image.pixel_size is None
    else:
        assert image.pixel_size == pytest.approx(example.pixel_size)
    assert len(image.channels) == image.sizes.get("C", 1)
    if example.channels:
        assert image.channels == example.channels


def test_whole_is_what_was_written(case: tuple[Image, Example]) -> None:
    image, example = case
    np.testing.assert_array_equal(image[{}], example.truth)
    assert image[{}].dtype == image.dtype


def test_a_window_is_the_same_window_of_the_whole(case: tuple[Image, Example]) -> None:
    image, example = case
    for seed in range(12):
        window = cut(image, seed)
        np.testing.assert_array_equal(image[window], example.truth[tuple(window[a] for a in image.axes)])


def test_what_is_read_may_be_written_to(case: tuple[Image, Example]) -> None:
    image, example = case
    for window in ({}, {"Y": slice(0, 9)}):
        image[window][...] = 0
    np.testing.assert_array_equal(image[{}], example.truth)


def test_levels_shrink_the_picture_and_read_in_windows(case: tuple[Image, Example]) -> None:
    image, example = case
    levels = image.pixels.levels
    assert len(levels) == example.levels
    assert levels[0] == image.shape
    for level, shape in enumerate(levels):
        step = 2**level
        expected = example.truth[..., ::step, ::step]
        assert shape == expected.shape
        window = {axis: slice(0, size) for axis, size in zip(image.axes, shape, strict=True)}
        window |= {"Y": slice(3, 9), "X": slice(2, 17)}
        index = tuple(window[axis] for axis in image.axes)
        np.testing.assert_array_equal(image.pixels.read(window, level), expected[index])


def test_threads_read_the_same_pixels(case: tuple[Image, Example]) -> None:
    image, example = case
    windows = [cut(image, seed) for seed in range(24)]
    with ThreadPoolExecutor(4) as pool:
        for window, array in zip(windows, pool.map(image.__getitem__, windows), strict=True):
            np.testing.assert_array_equal(array, example.truth[tuple(window[a] for a in image.axes)])


def test_an_image_can_be_sent_to_a_worker(case: tuple[Image, Example]) -> None:
    image, example = case
    image[{"Y": slice(0, 2)}]
    sent = bytes(ForkingPickler.dumps(image))
    assert len(sent) < max(20_000, example.truth.nbytes)
    np.testing.assert_array_equal(ForkingPickler.loads(sent)[{}], example.truth)


def test_a_crop_is_channels_rows_columns(case: tuple[Image, Example]) -> None:
    image, example = case
    crop = image.crop({"Y": slice(1, 5)}, t=0, z=0)
    assert crop.shape == (image.sizes.get("C", 1), 4, image.sizes["X"])
    index = tuple(0 if a in "TZ" else slice(1, 5) if a == "Y" else slice(None) for a in image.axes)
    np.testing.assert_array_equal(crop.squeeze(), example.truth[index].squeeze())


def test_facts_are_plain(case: tuple[Image, Example]) -> None:
    image, _ = case
    json.dumps([image.axes, image.shape, image.pixel_size, image.channels, image.notes, image.pixels.levels])
