"""Columns of files in the formats of other programs, judged against one another: one truth, whatever holds it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from label_zoo import random_pair
from made_up_masks import EXACT, SUFFIX, name_of
from pandas import DataFrame

from potency.answers import Evidence, Labels, Objects, Regions
from potency.data import masks
from potency.data.manifest import Manifest
from potency.data.masks import FORMATS, Annotation, Format
from potency.errors import AnswerError
from potency.evaluation import evaluate
from potency.evaluation.along import along
from potency.evaluation.columns import Bare
from potency.evaluation.subgroups import subgroups

ROWS = 6


def table_of(folder: Path, one: Format) -> DataFrame:
    """Images, their truth and a prediction, both in a format."""
    rows = []
    for k in range(ROWS):
        truth, said = random_pair(k)
        if k == 0:
            truth = said = np.zeros_like(truth)  # an image without objects
        image = folder / "images" / f"{k}.tif"
        image.parent.mkdir(exist_ok=True)
        tifffile.imwrite(image, (truth > 0).astype(np.uint8))
        row = {"image": f"images/{k}.tif", "group": f"g{k}"}
        for name, pixels in (("truth", truth), ("prediction", said)):
            suffix = SUFFIX[name_of(one)]
            path = f"{name}/{k}{suffix}"
            masks.write(folder / path, masks.of_labels(pixels.astype(np.uint32)), format=name_of(one))
            row[name] = path
        rows.append(row)
    return DataFrame(rows)


@pytest.mark.parametrize("one", [one for one in FORMATS if name_of(one) in EXACT], ids=name_of)
def test_outlines_are_judged_alike_in_every_format(tmp_path: Path, one: Format) -> None:
    table_of(tmp_path, one).to_csv(tmp_path / "rows.csv", index=False)
    made = Manifest.read(tmp_path / "rows.csv")
    if name_of(one) == "points":  # a table of run lengths is one of objects until it is called labels
        assert made.kinds["truth"] == "objects"
        made = Bare(made.table, {"truth": "labels"}, made.folder, made.origin)
    found = evaluate(made, draws=0)
    pairs = [random_pair(k) for k in range(1, ROWS)]
    none = np.zeros_like(pairs[0][0])
    wanted = [Labels.of(said).compare(Labels.of(truth)) for truth, said in [(none, none), *pairs]]
    figures = Labels.summarise(type(wanted[0]).stack(wanted), np.ones((1, ROWS)))
    for name in ("dsb_ap", "pq", "aji", "boundary_f", "merged"):
        assert found.numbers["prediction"][name].value == pytest.approx(float(figures[name][0]), abs=1e-12), name
    assert found.task == "labels" and not any("left out" in note for note in found.notes)


@pytest.mark.parametrize("name", ["voc", "yolo", "points", "coco"])
def test_boxes_are_judged_alike_in_every_format(tmp_path: Path, name: str) -> None:
    rng, rows = np.random.default_rng(3), []
    for k in range(ROWS):
        tifffile.imwrite(tmp_path / f"{k}.tif", np.zeros((64, 80), np.uint8))
        low = rng.integers(1, 40, (k, 2))
        boxes = np.hstack([low, low + rng.integers(4, 20, (k, 2))]).astype(float)
        truth = DataFrame(boxes, columns=["top", "left", "bottom", "right"]).assign(**{"class": "a", "score": np.nan})
        truth = truth.assign(label=np.arange(1, k + 1), y=boxes[:, ::2].mean(1) - 0.5, x=boxes[:, 1::2].mean(1) - 0.5)
        said = truth.assign(top=truth["top"] - 1, score=0.5)
        row = {"image": f"{k}.tif", "group": f"g{k}"}
        for side, objects in (("truth", truth), ("prediction", said)):
            row[side] = f"{side}/{k}{SUFFIX[name]}"
            masks.write(tmp_path / row[side], Annotation((64, 80), None, objects), format=name)
        rows.append(row)
    found = evaluate(Bare(DataFrame(rows), {"truth": "objects"}, tmp_path), draws=0)
    numbers = {figure: each.value for figure, each in found.numbers["prediction"].items()}
    assert numbers["f1"] == 1 and numbers["count_mae"] == 0
    assert numbers["coco_ap"] < 1 if name != "yolo" else "coco_ap" in numbers


def test_one_file_of_many_images_is_the_truth_of_each(tmp_path: Path) -> None:
    rows = []
    for k in range(ROWS):
        tifffile.imwrite(tmp_path / f"{k}.tif", np.zeros((30, 30), np.uint8))
        DataFrame({"x": np.arange(k) * 5.0, "y": 4.0}).to_csv(tmp_path / f"said-{k}.csv", index=False)
        rows += [{"file": f"{k}.tif", "x": 5.0 * n + 1, "y": 4.0} for n in range(k)]
    DataFrame(rows).to_csv(tmp_path / "points.csv", index=False)
    table = DataFrame({"image": [f"{k}.tif" for k in range(1, ROWS)], "truth": "points.csv",
                       "prediction": [f"said-{k}.csv" for k in range(1, ROWS)]})  # fmt: skip
    found = evaluate(Bare(table, folder=tmp_path), draws=0).numbers["prediction"]
    assert found["f1"].value == 1 and found["distance"].value == pytest.approx(1)


def test_what_reading_left_out_is_said(tmp_path: Path) -> None:
    for k in range(2):
        tifffile.imwrite(tmp_path / f"{k}.tif", np.zeros((30, 30), np.uint8))
        (tmp_path / f"{k}.csv").write_text("left,top,right,bottom\n1,1,5,5\n5,5,5,9\n-3,2,4,4\n60,60,70,70\n")
    table = DataFrame({"image": ["0.tif", "1.tif"], "truth": ["0.csv", "1.csv"], "prediction": ["0.csv", "1.csv"]})
    found = evaluate(Bare(table, folder=tmp_path), draws=0)
    for note in ("truth: boxes of no size left out (2)", "answers: objects outside the image left out (2)"):
        assert note in found.notes
    assert found.numbers["prediction"]["f1"].value == 1


def test_outlines_that_cross_themselves_are_judged(tmp_path: Path) -> None:
    """A bow tie encloses its two wings; they are one object in truth and answer alike."""
    bow = '{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[[2,2],[26,26],[26,2],[2,26],[2,2]]]}}'
    (tmp_path / "a.geojson").write_text(bow)
    tifffile.imwrite(tmp_path / "i.tif", np.zeros((30, 30), np.uint8))
    table = DataFrame({"image": ["i.tif"], "truth": ["a.geojson"], "prediction": ["a.geojson"]})
    numbers = evaluate(Bare(table, folder=tmp_path), draws=0).numbers["prediction"]
    assert numbers["dsb_ap"].value == 1 and numbers["dice"].value == 1
    found = Labels.of_cells({"": "a.geojson", "image": "i.tif"}, tmp_path)
    assert found.count == 1 and 250 < found.objects["area"].iloc[0] < 330


def test_maps_are_numbers_not_colours_or_outlines(tmp_path: Path) -> None:
    from PIL import Image

    np.save(tmp_path / "a.npy", np.array([[0.0, 2.0]]))
    assert Regions.of_cells({"": "a.npy"}, tmp_path).codes.tolist() == [[0, 2]]
    Image.fromarray(np.eye(4, dtype=np.uint8)[..., None] * np.uint8([255, 0, 9])).save(tmp_path / "a.png")
    (tmp_path / "a.geojson").write_text("{}")
    for name, words in (("a.png", "the map is in colours"), ("a.geojson", "maps are not read from .geojson")):
        with pytest.raises(AnswerError, match=words):
            Regions.of_cells({"": name}, tmp_path)


def test_classes_of_outlines_are_judged_where_all_have_some(tmp_path: Path) -> None:
    truth, said = random_pair(3)
    tifffile.imwrite(tmp_path / "i.tif", truth.astype(np.uint16))
    for name, pixels in (("t.geojson", truth), ("p.geojson", said)):
        ids = np.unique(pixels[pixels > 0])
        masks.write(tmp_path / name, masks.of_labels(pixels, {int(k): "odd" for k in ids if k % 2}))
    table = DataFrame({"image": ["i.tif"], "truth": ["t.geojson"], "prediction": ["p.geojson"]})
    assert {"mpq.odd", "mpq.unclassified"} <= set(evaluate(Bare(table, folder=tmp_path), draws=0).numbers["prediction"])
    table = table.assign(truth="i.tif")
    assert "mpq" not in evaluate(Bare(table, folder=tmp_path), draws=0).numbers["prediction"]


def test_the_folder_of_the_rows_travels_with_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = []
    for k in range(24):
        truth, said = random_pair(k)
        paths = Labels.of(truth).cells(tmp_path, "truth")
        paths |= Labels.of(said if k % 2 else truth).cells(tmp_path, "prediction")
        rows.append({"group": f"g{k // 2}", "half": k % 2, **paths})
    made = Bare(DataFrame(rows), folder=tmp_path)
    monkeypatch.chdir("/")
    (found,) = subgroups(made, ["half"], draws=50)
    assert found.metric == "dsb_ap" and (found.best, found.worst) == ("0", "1") and found.parts[0].figure.value == 1
    levels = along(made, "half", ["prediction"], draws=50)
    assert [level.figures["prediction"].value for level in levels] == [one.figure.value for one in found.parts]


def test_suffixes_of_labels_and_objects_read_a_column_as_what_it_holds(tmp_path: Path) -> None:
    assert Objects.of_cells({"": _boxes(tmp_path)}, tmp_path).boxes
    with pytest.raises(AnswerError, match="--kind objects"):
        Labels.of_cells({"": "b.csv"}, tmp_path)


def _boxes(folder: Path) -> str:
    (folder / "b.csv").write_text("xmin,ymin,xmax,ymax\n1,1,3,3\n")
    return "b.csv"


@pytest.mark.parametrize("header, row, bare", [("x,y,score", "4,3,.5", "x,y"), ("x,y,score", "4,3,.5", "image,x,y"),
                                               ("xmin,ymin,xmax,ymax,score", "1,1,3,3,.5", "xmin,ymin,xmax,ymax")])
def test_images_without_objects_are_judged_beside_others(tmp_path: Path, header: str, row: str, bare: str) -> None:
    """A table without rows may be of points or of boxes: it is what the others are, on either side or both."""
    (tmp_path / "one.csv").write_text(f"{header}\n{row}\n")
    (tmp_path / "none.csv").write_text(f"{bare}\n")
    DataFrame(columns=bare.split(",")).to_parquet(tmp_path / "bare.parquet")
    pairs = [("none.csv", "none.csv"), ("one.csv", "none.csv"), ("none.csv", "one.csv"), ("one.csv", "one.csv"),
             ("one.csv", "bare.parquet"), ("bare.parquet", "bare.parquet")]  # fmt: skip
    table = DataFrame(pairs, columns=["truth", "prediction"]).assign(group=list("abcdef"))
    for rows in (table, table[::-1], table.assign(truth="none.csv", prediction="none.csv")):
        found = evaluate(Bare(rows, {"truth": "objects"}, tmp_path), draws=0).numbers["prediction"]
        if rows is table:
            assert found["f1"].value == 2 / 5 and found["count_mae"].value == 0.5
    told = [Objects.of_cells({"": name}, tmp_path) for name in ("one.csv", "none.csv")]
    assert told[0].mistakes(told[1])["what"].tolist() == ["spurious"]
    assert told[1].mistakes(told[0])["what"].tolist() == ["missed"]
    assert Objects(DataFrame()).compare(told[0]).arrays["answered"].tolist() == [0]
    Evidence.stack([told[0].against(one, (), False) for one in told])  # as thresholds are chosen, image by image
