"""Crops written as they come: the same array as joined in memory, in bounded memory, whole or not at all."""

from __future__ import annotations

import os
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from small_bundle import MIXED, images

from potency.data.plan import Plan
from potency.errors import ImageError
from potency.learning import samples
from potency.learning.growing import ABANDONED, Growing, cleared
from potency.learning.samples import cut


def pieces(*kinds: str) -> list[np.ndarray]:
    random = np.random.default_rng(3)
    return [random.integers(0, 200, (1 + i % 3, 2, 5, 4)).astype(kind) for i, kind in enumerate(kinds)]


def marked(piece: Sequence[object]) -> np.ndarray:
    return np.arange(len(piece))[:, None] + 7


def grown(folder: Path, given: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    with Growing(folder / "a.npy", folder / "a.rows.npy") as growing:
        for piece in given:
            growing.add(piece, marked(piece))
    return np.load(folder / "a.npy", mmap_mode="r"), np.load(folder / "a.rows.npy")


@pytest.mark.parametrize("kinds", [("u1",) * 5, ("i2", "i2"), ("u1", "u2", "u1"), ("f4", "u1"), ("u2", "f8", "i4")])
def test_the_array_is_that_of_pieces_joined_in_memory(tmp_path: Path, kinds: tuple[str, ...]) -> None:
    given = pieces(*kinds)
    found, rows = grown(tmp_path, given)
    joined = np.concatenate(given)
    expected = joined if len(set(kinds)) == 1 else joined.astype(np.float32)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    expected_index = [[i, 7 + k] for i, piece in enumerate(given) for k in range(len(piece))]
    np.testing.assert_array_equal(rows, expected_index)
    np.save(tmp_path / "b.npy", np.ascontiguousarray(expected))
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes(), "the very file NumPy would write"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.npy", "a.rows.npy", "b.npy"]


def test_memory_stays_bounded(tmp_path: Path) -> None:
    one = np.ones((1, 1, 256, 256), np.uint16)
    tracemalloc.start()
    with Growing(tmp_path / "a.npy", tmp_path / "a.rows.npy") as growing:
        for _ in range(200):  # 26 MB, then the type changes
            growing.add(one, marked(one))
        growing.add(one.astype(np.uint8), marked(one))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.load(tmp_path / "a.npy", mmap_mode="r").shape == (201, 1, 256, 256)
    assert (tmp_path / "a.npy").stat().st_size > 52e6
    assert peak < 8e7, "a window of 16 M values, not the set"


def test_what_breaks_off_leaves_nothing_and_the_next_call_starts_anew(tmp_path: Path) -> None:
    rows, plan = images(tmp_path / "in", MIXED), Plan(channels=("0",), tile=16)
    whole = cut(rows, plan, tmp_path / "whole")
    good = (tmp_path / "in" / "im 07.npy").read_bytes()
    (tmp_path / "in" / "im 07.npy").write_bytes(b"")
    with pytest.raises(ImageError, match="empty"):
        cut(images_again(rows), plan, tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir()), "neither a part nor an array"
    (tmp_path / "in" / "im 07.npy").write_bytes(good)
    again = cut(images_again(rows), plan, tmp_path / "cache")
    np.testing.assert_array_equal(again.crops, whole.crops)
    np.testing.assert_array_equal(again.rows, whole.rows)
    np.testing.assert_array_equal(again.fields, whole.fields)
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_small_images_read_together_are_those_read_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    count = 8 * samples.TOGETHER + 5
    rows, plan = images(tmp_path / "in", (MIXED * count)[:count]), Plan(channels=("0",), tile=16)
    together = cut(rows, plan, tmp_path / "together")
    monkeypatch.setattr(samples, "SMALL", 0)
    alone = cut(rows, plan, tmp_path / "alone")
    assert len(set(map(tuple, together.fields.tolist()))) > 3, "images of several shapes lie differently in their tiles"
    for part in ("crops", "rows", "fields"):
        np.testing.assert_array_equal(getattr(together, part), getattr(alone, part))
    monkeypatch.undo()
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    np.save(tmp_path / "in" / "im 40.npy", np.zeros((2, 9, 9), np.uint8))
    with pytest.raises(ImageError, match="has 2 channels .channel1, channel2., the model sees one") as told:
        cut(images_again(rows), plan, tmp_path / "bad")
    assert told.value.where == str(tmp_path / "in" / "im 40.npy")


def images_again(rows):  # type: ignore[no-untyped-def]
    """The same rows, their contents looked at anew."""
    return rows.where(np.ones(len(rows), bool))


def test_parts_of_killed_processes_are_cleared_a_day_later(tmp_path: Path) -> None:
    old, new = tmp_path / ".crops-1.npy.part7-1", tmp_path / ".crops-1.npy.part8-1"
    for path in (old, new):
        path.write_bytes(b"x")
    long_ago = time.time() - ABANDONED - 60
    os.utime(old, (long_ago, long_ago))
    cleared(tmp_path, ".crops-1*")
    assert not old.exists() and new.exists()


def test_pieces_of_another_shape_are_refused(tmp_path: Path) -> None:
    told = pytest.raises(ValueError, match=r"a piece of \(1, 3\) cannot follow pieces of \(1, 2\)")
    with told, Growing(tmp_path / "a.npy", tmp_path / "r.npy") as growing:
        growing.add(np.ones((1, 1, 2)), marked([0]))
        growing.add(np.ones((1, 1, 3)), marked([0]))
    assert not list(tmp_path.iterdir())
