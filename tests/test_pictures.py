"""Pictures of what was found: colours that can be told apart, cut-outs on one scale, spreads, figures of size."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from label_zoo import ZOO, random_pair
from made_up_masks import cells

from potency import Manifest
from potency.answers import Evidence, Labels
from potency.answers.contrast import KINDS, TRUTH
from potency.answers.drawing import COLOURS, barred, colours_apart, colours_of
from potency.answers.metrics import sizes
from potency.cli import run
from potency.data import masks
from potency.data.image import Image
from potency.errors import AnswerError, PlanError
from potency.evaluation import evaluate, object_plots
from potency.evaluation.columns import Bare
from potency.pictures import Asked, find_objects, kept_where, show, spreads, tiles
from potency.web.views import AGAINST, FOR

# Machado, Oliveira and Fernandes 2009 (doi 10.1109/TVCG.2009.113), severity 1: of linear RGB.
DICHROMACY = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
APART = 16  # in CIE Lab, as answers/drawing.py promises
WHOLE = tuple(slice(0, size) for size in (40, 50))


def seen(colours, kind):
    """The colours in CIE Lab as somebody of this kind of sight has them."""
    part = np.array(colours) / 255
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)  # sRGB, IEC 61966-2-1
    linear = np.clip(linear @ np.array(DICHROMACY.get(kind, np.eye(3))).T, 0, 1)
    to_white = linear @ XYZ.T / XYZ.sum(1)
    x, y, z = np.where(to_white > 216 / 24389, np.cbrt(to_white), (24389 / 27 * to_white + 16) / 116).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


@pytest.mark.parametrize("kind", ["trichromat", *DICHROMACY])
def test_colours_are_told_apart_with_every_kind_of_sight(kind):
    for colours in (COLOURS, [*KINDS.values(), TRUTH, (0, 0, 0)], [FOR, AGAINST, (0, 0, 0), (128, 128, 128)]):
        lab = seen(colours, kind)
        distance = np.linalg.norm(lab[:, None] - lab[None], axis=-1)
        assert distance[~np.eye(len(lab), dtype=bool)].min() > APART


def test_neighbours_never_share_a_colour_and_tracks_keep_theirs():
    rng = np.random.default_rng(3)
    place = rng.uniform(0, 60, (70, 2))
    grid = np.stack(np.mgrid[:60, :60], axis=-1)[:, :, None]
    crowded = 7 * (1 + np.argmin(((grid - place) ** 2).sum(-1), axis=-1)).astype(np.uint32)  # all wish for one colour
    for labels in (crowded, cells(36, 60), np.zeros((5, 5), np.uint16)):
        numbers, colours = colours_apart(labels)
        assert numbers.tolist() == sorted(set(np.unique(labels).tolist()) - {0})
        of = dict(zip(numbers.tolist(), map(tuple, colours.tolist()), strict=True))
        height, width = labels.shape
        for y, x in np.ndindex(height - 1, width - 1):
            near = {int(labels[y, x]), int(labels[y + 1, x]), int(labels[y, x + 1]), int(labels[y + 1, x + 1])} - {0}
            assert len({of[one] for one in near}) == len(near)
    assert len(np.unique(colours_of(np.unique(crowded)), axis=0)) == 1
    picture = np.zeros((60, 60, 3), np.uint8)
    one, two = crowded, np.roll(crowded, 5, axis=1) * (grid[:, :, 0, 0] > 25)  # another time: other places, fewer
    window = slice(0, 60), slice(0, 60)
    drawn = [Labels.of(each).overlay(picture, window, tracks=True) for each in (one // 7, two // 7)]
    colour = [{n: {tuple(c) for c in d[(e // 7 == n) & d.any(-1)].tolist()} for n in np.unique(e // 7)[1:].tolist()}
              for d, e in zip(drawn, (one, two), strict=True)]  # fmt: skip
    assert all(colour[0][number] == colour[1][number] for number in colour[1] if colour[1][number])


def test_a_scale_bar_is_as_long_as_it_says():
    black = np.zeros((80, 200, 3), np.uint8)
    for pixel, pixels in ((0.65, 31), (1.0, 50), (0.1, 50), (3.0, 67)):  # 20 µm, 50, 5, 200
        assert ((barred(black, pixel, "µm")[-6] == 255).all(axis=1)).sum() == pixels
    assert not barred(black[:20, :20], 1.0, "px").any()


def test_figures_of_size_are_those_counted_by_hand():
    images = (*map(random_pair, range(5)), *list(ZOO.values())[1:9])
    pairs = [(Labels.of(truth), Labels.of(said)) for truth, said in images]
    evidence = [said.compare(truth) for truth, said in pairs]
    told = {name: float(values[0]) for name, values in sizes.figures(
        Evidence.stack(evidence).arrays, np.ones((1, len(pairs)))).items()}  # fmt: skip
    true, said, hit, right, grown = [], [], [], [], []
    for one, other in pairs:
        areas = [np.unique(each.instances[each.instances > 0], return_counts=True) for each in (one, other)]
        best = {}
        for a, area in zip(*areas[0], strict=True):
            for b, size in zip(*areas[1], strict=True):
                shared = np.count_nonzero((one.instances == a) & (other.instances == b))
                if shared / (area + size - shared) > 0.5:
                    best[a] = b
                    grown.append(np.sqrt(size / area))
        true += (2 * np.sqrt(areas[0][1] / np.pi)).tolist()
        said += (2 * np.sqrt(areas[1][1] / np.pi)).tolist()
        hit += [a in best for a in areas[0][0]]
        right += [b in best.values() for b in areas[1][0]]
    assert told["size_bias"] == pytest.approx(np.exp(np.mean(np.log(grown))) - 1)
    for name, values in (("size_true", true), ("size_said", said)):
        for percent in (10, 50, 90):
            exact = np.percentile(values, percent, method="inverted_cdf")
            assert told[f"{name}.p{percent}"] == pytest.approx(exact, rel=2 ** (1 / 16) - 1)
    for values, found, name in ((true, hit, "recall_size"), (said, right, "precision_size")):
        inside = (np.array(values) >= 8) & (np.array(values) < 8 * 2**0.5)
        assert told[f"{name}.8-11"] == pytest.approx(np.array(found)[inside].mean())
    assert told["share_size.8-11"] == pytest.approx(((np.array(true) >= 8) & (np.array(true) < 8 * 2**0.5)).mean())
    assert sum(value for name, value in told.items() if name.startswith("share_size")) == pytest.approx(1)


def test_sizes_are_drawn_where_no_object_is_found(tmp_path):
    truth, said = np.zeros((2, 24, 24), np.uint8)
    truth[2:9, 2:9], said[14:22, 14:22] = 1, 1
    cells = Labels.of(truth).cells(tmp_path, "truth") | Labels.of(said).cells(tmp_path, "prediction")
    report = evaluate(Bare(pd.DataFrame([cells]), {"truth": "labels"}, tmp_path), draws=0)
    drawn = object_plots.sizes(report)
    assert "size_bias" not in report.numbers["prediction"] and drawn is not None
    assert "No object is found" in " ".join(map(str, vars(drawn).values()))


def test_medians_and_their_intervals_are_those_of_whole_groups_drawn_again():
    rng = np.random.default_rng(0)
    group = np.repeat([f"g{k}" for k in range(8)], rng.integers(3, 9, 8))
    table = pd.DataFrame({"group": group, "area": rng.integers(20, 90, len(group)) + 0.5, "kind": "b"})
    table.loc[table["group"].isin(["g0", "g1", "g2", "g3", "g4", "g5"]), "kind"] = "a"
    first, second = spreads(table, "area", "kind", draws=400)
    assert (first.level, first.groups, second.groups, second.median.low) == ("a", 6, 2, None)
    assert first.median.value == np.median(table["area"][table["kind"] == "a"])
    assert second.less is not None and second.less.value == second.median.value - first.median.value
    (whole,) = spreads(table, "area", draws=400, seed=1)
    again = []
    for draw in range(400):
        times = np.bincount(np.random.default_rng([1, draw]).integers(0, 8, 8, dtype=np.int64), minlength=8)
        again.append(np.median(np.repeat(table["area"], times[pd.factorize(table["group"])[0]])))
    from potency.evaluation.intervals import levels

    assert (whole.median.low, whole.median.high) == pytest.approx(tuple(np.percentile(again, levels(8))))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    rows = []
    for k in range(6):
        truth, said = random_pair(k)
        pixels = (truth * 9 + 5).astype(np.uint16)
        tifffile.imwrite(folder / f"{k}.tif", pixels, imagej=True, resolution=(2, 2), metadata={"unit": "um"})
        score = pd.DataFrame({"label": np.unique(said)[1:], "score": np.linspace(0.2, 0.9, len(np.unique(said)) - 1)})
        cells = Labels.of(truth).cells(folder, "mask") | Labels.of(said, score).cells(folder, "prediction")
        rows.append({"image": f"{k}.tif", "group": f"g{k}", "dose": k % 2, **cells})
    pd.DataFrame(rows).to_csv(folder / "rows.csv", index=False)
    return folder


def test_show_writes_a_page_with_images_objects_and_sizes(world, capsys):
    assert run(["show", f"{world / 'rows.csv'}", "--into", f"{world / 'shown'}", "--by", "dose", "--where", "area>=9",
                "--smallest", "score", "--largest", "area", "--number", "5", "--json"]) == 0  # fmt: skip
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    medians = told["medians"]["equivalent_diameter_area_um"]
    area = np.concatenate([np.unique(random_pair(k)[1], return_counts=True)[1][1:] for k in (0, 2, 4)])
    assert medians["0"]["median"] == pytest.approx(np.median(np.sqrt(area[area >= 9] / np.pi)))  # 2 px are a um
    assert medians["0"]["groups"] == 3 and medians["0"]["low"] is None
    page = Path(told["page"]).read_text("utf-8")
    assert page.count("data:image/png") == 5 + 2 * 5 and "The smallest by score" in page and "µm" in page
    assert "median − 0" in page and "spread-equivalent" in page
    from PIL import Image as Picture

    sheet = np.asarray(Picture.open(told["montage"]))
    assert {tuple(colour) for colour in COLOURS[:3]} <= set(map(tuple, sheet.reshape(-1, 3).tolist()))
    assert len(pd.read_csv(told["spread"])) == 2


def test_what_measure_wrote_is_shown_in_order(world, capsys):
    table = world / "out" / "cells.parquet"
    rows = f"{world / 'rows.csv'}"
    assert run(["measure", rows, "--objects", "prediction", "--families", "shape", "--into", f"{table}"]) == 0
    manifest = Manifest.read(table)
    found = find_objects(manifest, "prediction", Labels)
    assert found.images == 6 and len(found.table) == len(manifest)
    told = pd.concat(pd.read_parquet(world / path) for path in pd.read_csv(world / "rows.csv")["prediction.objects"])
    for name in ("score", "area"):
        assert found.table[name].tolist() == told[name].tolist()
    chosen = found.table.sort_values("eccentricity", ascending=False, kind="stable").head(4)
    cut = list(tiles.cutouts(manifest, chosen, "prediction", Labels, "eccentricity"))
    assert [float(tile.title) for tile in cut] == pytest.approx(chosen["eccentricity"].tolist(), abs=6e-4)
    assert all((tile.picture == tiles.OWN).all(-1).sum() > 3 for tile in cut)  # outlined, in its colour
    asked = Asked(of=("area_um2", "solidity"), largest=("eccentricity",), number=4, draws=200)
    told = show(manifest, world / "measured", asked)
    assert told["images"] == 4 and set(told["medians"]) == {"area_um2", "solidity"}
    assert told["medians"]["area_um2"]["all"]["low"] is not None  # six groups


def test_of_a_large_image_only_the_middle_is_read(world, monkeypatch):
    labels = cells(25, 200)
    masks.write(world / "large.zarr", masks.of_labels(labels))
    tifffile.imwrite(world / "large.tif", (labels * 3).astype(np.uint8), tile=(16, 16))
    read = []

    def watched(image, window):
        read.append(plain(image, window))
        return read[-1]

    plain = Image.__getitem__
    monkeypatch.setattr(Image, "__getitem__", watched)
    monkeypatch.setattr(tiles, "WIDEST", 64)
    rows = Manifest.of_rows(pd.DataFrame({"image": ["large.tif"], "mask": ["large.zarr"]}), world)
    (tile,) = tiles.montage(rows, rows.records(), "mask", Labels)
    assert tile.lines == ("the middle 64 px",) and len(read) == 2 and all(part.size == 64 * 64 for part in read)
    assert tile.picture is not None and (tile.picture.reshape(-1, 3).max(0) > tile.picture.reshape(-1, 3).min(0)).all()


def test_what_cannot_be_shown_is_said(world, tmp_path):
    rows = Manifest.read(world / "rows.csv")
    for asked, error, message in (
        (Asked(answers="predicton"), AnswerError, "there is no column 'predicton'"),
        (Asked(by="dos"), AnswerError, "there is no column 'dos'"),
        (Asked(of=("solidity",)), PlanError, "the column 'solidity' is not there"),
        (Asked(largest=("image",)), PlanError, "the column 'image' holds no numbers"),
        (Asked(where="area"), PlanError, "'area' is no rule"),
        (Asked(where="score>high"), PlanError, "score holds numbers, and 'high' is none"),
        (Asked(where="area>1e9"), AnswerError, "none of .* objects is left"),
    ):
        with pytest.raises(error, match=message) as caught:
            show(rows, tmp_path, asked)
        assert caught.value.where and caught.value.mend
    with pytest.raises(PlanError, match="there is no column 'aria'"):
        kept_where(pd.DataFrame({"area": [1]}), "aria>1")
    gone = Manifest.of_rows(rows.table.assign(prediction=["none.tif", *rows.table["prediction"][1:]]), world)
    found = find_objects(gone.add({"prediction.objects": [None] * 6}), "prediction", Labels)
    assert found.images == 5 and list(found.wrong) == ["0.tif"]
    (tile,) = tiles.montage(gone, gone.records()[:1], "prediction", Labels)
    assert tile.picture is None and "there is no file none.tif" in tile.lines[0]
    assert tiles.hung([tile]).ndim == 3


def test_a_report_shows_sizes_and_what_is_found_of_each(world):
    table = pd.read_csv(world / "rows.csv")
    report = evaluate(Bare(table.assign(truth=table["mask"]), {"truth": "labels"}, world), draws=200)
    from potency.evaluation.page import page
    from potency.evaluation.tables import metrics

    text = page(report)
    assert "Found by size" in text and "Sizes, true and predicted" in text
    shown = [row[0] for main in (True, False) for row in metrics(report, main).rows]  # type: ignore[union-attr]
    assert "True size, median" in shown and not any("Recall by size" in name for name in shown)
    one = report.numbers["prediction"]["recall_size.8-11"]
    assert one.low is not None and one.low <= one.value <= one.high
