"""Simulated bacteria: rods of known width that grow at their rate, divide in two and push one another apart."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zoo
from scipy.spatial import KDTree
from skimage.measure import regionprops

from potency.errors import PlanError
from potency.simulate.rods import Rods, drawn, grown, pushed


def crowd(count: int = 12) -> Rods:
    rng = np.random.default_rng(3)
    ones = np.ones(count)
    return Rods(np.arange(1, count + 1), np.zeros(count, np.int64), rng.uniform(10, 14, (count, 2)),
                rng.uniform(0, 6, count), 3 * ones, ones, 9 * ones, ones)  # fmt: skip


def test_rods_are_pushed_apart_until_next_to_nothing_overlaps() -> None:
    def hidden(rods: Rods) -> float:
        """The share of the rods' own area that no mask shows."""
        area = 2 * 1.0 + np.pi / 4
        return 1 - (drawn(rods, 240, 0.1)[1] > 0).sum() * 0.01 / (len(rods) * area)

    rods = crowd()
    before, after = hidden(rods), rods
    for _ in range(6):
        after = pushed(after)
    assert before > 0.3 and hidden(after) < 0.05
    np.testing.assert_allclose(after.place.mean(0), rods.place.mean(0), atol=1.0)  # nobody pushes the whole
    assert len(pushed(rods.take(np.arange(12) < 1))) == 1


def test_a_drawn_rod_is_a_capsule() -> None:
    one = crowd().take(np.arange(12) < 1)
    height, labels = drawn(one, 160, 0.1)
    (found,) = regionprops(labels)
    assert found.label == 1 and found.area * 0.01 == pytest.approx(2 + np.pi / 4, rel=0.03)
    np.testing.assert_allclose(found.centroid, one.place[0] / 0.1 - 0.5, atol=0.3)
    assert height.max() == pytest.approx(1.0, abs=0.02) and (height[labels == 0] == 0).all()
    along = np.array([np.sin(one.turn[0]), np.cos(one.turn[0])])
    reach = (found.coords - found.centroid) @ along
    assert np.ptp(reach) * 0.1 == pytest.approx(3.0, abs=0.2)


def test_cells_grow_at_their_rate_and_divide_in_two() -> None:
    rng = np.random.default_rng(0)
    one = crowd().take(np.arange(12) < 1)
    whole = grown(rng, one, 1.0, 1.0, first=2)
    assert whole.track.tolist() == [1] and whole.length[0] == pytest.approx(3 * np.e)
    two = grown(rng, one, 1.2, 1.0, first=2)  # it divides at 9 um, and its daughters grow on at rates of their own
    assert sorted(two.track) == [2, 3] and two.parent.tolist() == [1, 1]
    assert two.length.sum() == pytest.approx(3 * np.exp(1.2), rel=0.05)
    assert KDTree(two.place).query(two.place, 2)[0][:, 1].min() > 2


def test_a_film_tells_its_cells_tracks_and_growth(tmp_path: Path) -> None:
    folder = zoo.rods(tmp_path / "set", groups=1, cells=2, frames=6, hours=(0.0, 0.75), field=128).folder
    with (folder / "labels.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    lives = {int(line.split()[0]): tuple(map(int, line.split()[1:]))
             for line in (folder / "01_GT/TRA/man_track.txt").read_text().splitlines()}  # fmt: skip
    for frame, row in enumerate(rows):
        mask, picture = tifffile.imread(folder / row["mask"]), tifffile.imread(folder / row["file"])
        assert {t for t, (begin, end, _) in lives.items() if begin <= frame <= end} == set(np.unique(mask)) - {0}
        assert (int(row["cells"]), int(row["area"])) == (len(np.unique(mask)) - 1, (mask > 0).sum())
        assert picture[mask > 0].mean() < picture[mask == 0].mean()  # dark in phase contrast
        assert all(8 < one.axis_minor_length < 13 and one.eccentricity > 0.7 for one in regionprops(mask))
    children = [parent for _, _, parent in lives.values() if parent]
    assert children and all(children.count(p) == 2 for p in children)
    assert all(begin == lives[parent][1] + 1 for begin, _, parent in lives.values() if parent)
    hours, area = (np.array([float(row[name]) for row in rows]) for name in ("time", "area"))
    assert np.polyfit(hours, np.log(area), 1)[0] == pytest.approx(float(rows[0]["growth"]), rel=0.25)


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="rods carry no stain"):
        zoo.rods(tmp_path / "stained", look="fluorescence")
    with pytest.raises(PlanError, match=r"kind 'fields' are drawn in pixels of 0.2 um"):
        zoo.fields(tmp_path / "fine", pixel_size=0.1)
    assert not list(tmp_path.iterdir())
