"""Quality of a set: columns and flags of a manifest, limits, growth of wells, and what `check --images` writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import zoo
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

import potency
from potency.cli import run
from potency.data.manifest import Manifest
from potency.errors import ManifestError
from potency.measurement.quality.flags import LIMITS, Limit
from potency.measurement.quality.flatfield import Light
from potency.measurement.quality.growth import growth, growth_rate
from potency.measurement.quality.page import page
from potency.measurement.quality.quality import flagged, lights, quality
from potency.simulate.defocus import blurred

Written = dict[str, NDArray[np.generic]]


def written(folder: Path, planes: Written, **columns: list[object]) -> Manifest:
    folder.mkdir(exist_ok=True)
    for name, plane in planes.items():
        tifffile.imwrite(folder / f"{name}.tif", plane)
    return Manifest.of_rows(pd.DataFrame({"image": [f"{name}.tif" for name in planes], **columns}), folder)


@pytest.fixture(scope="module")
def sound() -> Written:
    """Ten sound pictures of one plate."""
    made = [zoo.field(seed=seed, field=160, cells=10).field.pictures["phase"] for seed in range(10)]
    return {f"a{number}": plane for number, plane in enumerate(made)}


def words(manifest: Manifest) -> dict[str, str]:
    return dict(zip(manifest.table["image"], manifest.table["quality.flags"], strict=True))


def test_each_fault_is_flagged_and_sound_images_are_not(tmp_path: Path, sound: Written) -> None:
    rng = np.random.default_rng(0)
    one = sound["a0"].astype(np.float32)
    gaps = one.copy()
    gaps[3, 3] = np.nan
    y = np.linspace(0.6, 1.4, 160)[:, None]
    faulty: Written = {
        "blurred": blurred(one, 6.0, 300.0, rng).astype(np.uint16),
        "bright": np.clip(one * 2.6, 0, 65535).astype(np.uint16),
        "dark": (one * 0.2).astype(np.uint16),
        "constant": np.full((160, 160), 24000, np.uint16),
        "noisy": np.clip(24000 + rng.normal(0, 5000, one.shape), 0, 65535).astype(np.uint16),
        "gaps": gaps,
        "uneven": (one * y).astype(np.uint16),
        "empty": np.clip(24000 + rng.normal(0, 200, one.shape), 0, 65535).astype(np.uint16),
    }
    rows = written(tmp_path, {**sound, **faulty})
    (tmp_path / "a9.tif").write_bytes(b"no image")
    made = quality(rows)
    said = words(made)
    wanted = {"blurred": "out of focus", "bright": "saturated", "dark": "odd exposure", "constant": "constant",
              "noisy": "noisy", "gaps": "not finite", "uneven": "uneven light", "empty": "empty"}  # fmt: skip
    for name, flag in wanted.items():
        assert flag in said[f"{name}.tif"].split("; "), (name, said[f"{name}.tif"])
    assert said["a9.tif"] == "unreadable" and made.table["quality.error"].notna().sum() == 1
    assert [said[f"a{n}.tif"] for n in range(9)].count("") >= 8
    assert flagged(made)["unreadable"] == [9]
    assert len(made) == len(rows) and made.table["id"].tolist() == rows.table["id"].tolist()
    again = quality(made)  # judged anew, not twice
    pd.testing.assert_frame_equal(again.table, made.table)


def test_a_set_that_is_blurred_throughout_is_flagged_and_a_plate_that_is(tmp_path: Path, sound: Written) -> None:
    rng = np.random.default_rng(0)
    blurry = {f"b{n}": gaussian_filter(plane.astype(np.float32), 9) for n, plane in enumerate(sound.values())}
    blurry = {name: (plane + rng.normal(0, 60, plane.shape)).astype(np.uint16) for name, plane in blurry.items()}
    alone = quality(written(tmp_path / "alone", blurry))
    assert all("out of focus" in said for said in words(alone).values())
    more = {f"c{n}": plane for n, plane in enumerate(sound.values())}
    plates: list[object] = ["1"] * 20 + ["2"] * 10
    both = quality(written(tmp_path / "both", {**sound, **more, **blurry}, plate=plates))
    said = words(both)
    assert all("out of focus" in said[f"{name}.tif"] for name in blurry)
    assert sum("out of focus" in said[f"{name}.tif"] for name in sound) == 0


def test_a_limit_is_absolute_or_relative_and_needs_a_set() -> None:
    dark = Limit("dark", "brightness", "", spreads=3, step=2, ratio=True, low=True)
    values = np.array([100.0, 110, 90, 100, 105, 95, 100, 100, 40])
    assert dark.raised(values, [""] * 9).tolist() == [False] * 8 + [True]
    assert not dark.raised(values[-7:], [""] * 7).any()  # under eight there is no usual
    assert not dark.raised(np.full(9, np.nan), [""] * 9).any()
    top = Limit("top", "x", "", absolute=1).raised(np.array([0.5, 1.5, np.nan]), ["a"] * 3)
    assert top.tolist() == [False, True, False]
    mixed = np.concatenate([np.full(10, 100.0), np.full(10, 1000.0)])
    mixed[0] = 20
    plates = ["a"] * 10 + ["b"] * 10
    assert dark.raised(mixed, plates).tolist() == [True] + [False] * 19  # by its own plate only


def test_every_limit_names_a_measure_that_there_is(tmp_path: Path, sound: Written) -> None:
    columns = quality(written(tmp_path, sound)).table.columns
    assert {f"quality.{limit.measure}" for limit in LIMITS} <= set(columns)


def test_one_image_mixed_sizes_and_mixed_channels(tmp_path: Path, sound: Written) -> None:
    single = quality(written(tmp_path / "one", {"a0": sound["a0"]}))
    assert len(single) == 1 and np.isfinite(single.table["quality.focus_blur_px"][0])
    assert lights(single) == {}
    stack = np.stack([sound["a1"], sound["a2"]])
    mixed = written(tmp_path / "mixed", {"a0": sound["a0"][:70, :90], "tiny": sound["a0"][:5, :4]})
    tifffile.imwrite(tmp_path / "mixed" / "two.tif", stack, metadata={"axes": "CYX"}, imagej=False, ome=True)
    table = pd.DataFrame({"image": ["a0.tif", "tiny.tif", "two.tif"]})
    made = quality(Manifest.of_rows(table, mixed.folder)).table
    blur = [name for name in made.columns if str(name).endswith(".focus_blur_px")]
    assert len(blur) >= 2 and made[blur].notna().to_numpy().sum() == 3  # one of a0, two of the last, none of 20 pixels
    assert "quality.error" not in made.columns


def test_colour_is_judged_as_grey(tmp_path: Path) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 200, (64, 64, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    made = quality(Manifest.of_rows(pd.DataFrame({"image": ["a.png"]}), tmp_path)).table
    assert made["quality.brightness"][0] == pytest.approx(100, abs=3)


def test_wrong_calls_say_what_to_do(tmp_path: Path, sound: Written) -> None:
    rows = written(tmp_path, {"a0": sound["a0"]})
    with pytest.raises(ManifestError, match="no column 'plaet'"):
        quality(rows, by="plaet")
    with pytest.raises(ManifestError, match="not judged yet"):
        flagged(rows)
    with pytest.raises(ManifestError, match="no column 'quality.confluence'"):
        growth(rows)
    with pytest.raises(ManifestError, match="no time is a number"):
        growth(quality(written(tmp_path, {"a0": sound["a0"]}, time=["soon"])))


def test_judging_in_other_processes_gives_the_same(tmp_path: Path, sound: Written) -> None:
    rows = written(tmp_path, dict(list(sound.items())[:4]))
    with potency.Pool(1) as pool:
        pd.testing.assert_frame_equal(quality(rows, on=pool).table, quality(rows).table)


@pytest.mark.parametrize("rho", [0.0, 0.5])
@pytest.mark.parametrize("model", ["exponential", "logistic"])
def test_growth_intervals_hold_the_true_rate(model: str, rho: float) -> None:
    rng, held, named = np.random.default_rng(3), 0, 0
    for _ in range(80):
        time = np.sort(rng.uniform(0, 72, 24))  # irregular, as a time-lapse with gaps is
        true = 0.035 if model == "exponential" else 0.07
        level = 0.03 * np.exp(true * time) if model == "exponential" else 0.9 / (1 + 17 * np.exp(-true * time))
        error = rng.normal(size=24)
        for at in range(1, 24):
            error[at] = rho * error[at - 1] + np.sqrt(1 - rho**2) * error[at]
        found = growth_rate(time, level * np.exp(0.05 * error))
        held += found.low < true < found.high
        named += found.model == model
    assert held >= (72 if rho == 0 else 66) and named >= 64


def test_growth_of_gaps_repeats_and_nothing() -> None:
    time = np.array([0.0, 4, 8, 8, 12, 40, 44, np.nan, 48])
    level = 0.02 * np.exp(0.05 * np.nan_to_num(time))
    level[4] = np.nan
    found = growth_rate(time, level)
    assert found.rate == pytest.approx(0.05, rel=1e-6) and found.points == 6 and "3 of 9 rows" in found.why
    assert found.doubling == pytest.approx(np.log(2) / 0.05)
    assert growth_rate(time[:3], level[:3]).why == "3 points in time with cells; 5 are needed"
    assert growth_rate(np.arange(9.0), np.zeros(9)).points == 0
    assert growth_rate(np.arange(9.0), np.full(9, 0.3)).rate == 0
    assert growth_rate(np.arange(9.0), 0.9 * np.exp(-0.1 * np.arange(9.0))).high < 0  # cells that die


def test_check_images_writes_table_light_growth_and_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    zoo.movie(tmp_path / "movie", field=192, frames=7, cells=8)
    call = ["check", str(tmp_path / "movie"), "--no-duplicates", "--images", "--into", str(tmp_path / "out"), "--json"]
    assert run(call) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])["quality"]
    assert told["images"] == 7 and set(told) >= {"flags", "measures", "unevenness", "without_flag", "growth"}
    out = tmp_path / "out"
    table = pd.read_csv(out / "quality.csv")
    assert len(table) == 7 and {"quality.confluence", "quality.flags", "time"} <= set(table.columns)
    assert Manifest.read(out / "quality.parquet").open(Manifest.read(out / "quality.parquet").table.iloc[0]).shape
    assert Light.read(out / "light.tif").flat.shape == (192, 192)
    assert len(pd.read_csv(out / "growth.csv")) == 1
    text = (out / "quality.html").read_text("utf-8")
    assert "Confluence over time" in text and "http" not in text.replace("http-equiv", "")


def test_the_page_shows_the_worst_first_and_escapes_names(tmp_path: Path, sound: Written) -> None:
    rng = np.random.default_rng(0)
    soft = {f"soft{sigma}": blurred(sound["a0"], sigma, 300.0, rng).astype(np.uint16) for sigma in (5, 9)}
    rows = written(tmp_path, {**sound, **soft, "<b>x": sound["a1"] * 0})
    text = page(quality(rows), {})
    assert "<b>x" not in text and "&lt;b&gt;x" in text
    assert "out of focus" in text and "constant" in text


def test_into_without_images_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    zoo.fields(tmp_path / "fields")
    assert run(["check", str(tmp_path / "fields"), "--into", str(tmp_path / "out")]) == 2
    assert "--into has nothing to write" in capsys.readouterr().err
