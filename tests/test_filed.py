"""Answers in files: tiles joined without a seam, files written and read, columns judged, what is refused in words."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from label_zoo import ZOO, random_pair
from pandas import DataFrame
from scipy import ndimage

from potency.answers import Evidence, Labels, Objects, Regions
from potency.answers.seams import numbered_by_place
from potency.data import masks
from potency.data.tiles import cover
from potency.errors import AnswerError
from potency.evaluation import evaluate

SIZE = (120, 150)


def world(seed=0, cells=90):
    """A picture of discs of at most 13 px, many of them side by side but none touching another."""
    rng, made, grid = np.random.default_rng(seed), np.zeros(SIZE, bool), np.indices(SIZE)
    for _ in range(cells):
        y, x, radius = rng.uniform(0, SIZE[0]), rng.uniform(0, SIZE[1]), rng.uniform(1, 6)
        disc = (grid[0] - y) ** 2 + (grid[1] - x) ** 2 <= radius**2
        if not (ndimage.binary_dilation(disc, iterations=2) & made).any():
            made |= disc
    return made


def decode(picture):
    """What a decoder does with pixels it sees: connected parts, a class and a score from what is in them."""
    answer = Labels.of(ndimage.label(picture)[0].astype(np.uint32))
    area = answer.objects["area"].to_numpy()
    told = answer.objects.assign(**{"class": np.where(area > 40, "big", "small"), "score": area / 200})
    return Labels.of(answer.instances, told)


@pytest.mark.parametrize(("tile", "halo"), [(60, 14), (150, 14), (74, 13)])
def test_labels_of_tiles_are_those_of_the_whole(tile, halo):
    picture = world()
    whole = decode(picture)
    tiles = cover(SIZE, tile, halo)
    parts = [(t, decode(picture[t.window(SIZE)["Y"], t.window(SIZE)["X"]])) for t in tiles]
    pixels, table = numbered_by_place(whole.instances, whole.objects)
    for order in (1, -1):  # tiles may come in any order
        made = Labels.stitch(iter(parts[::order]), SIZE)
        np.testing.assert_array_equal(made.instances, pixels)
        for name in table.columns.drop("before"):
            assert (made.objects[name].to_numpy() == table[name].to_numpy()).all(), name
    assert len(tiles) == 1 or sum(part.count for _, part in parts) > whole.count


def test_objects_and_regions_of_tiles_are_those_of_the_whole():
    picture = world(1)
    whole = decode(picture).objects
    boxes = whole.drop(columns=["label", "centroid-0", "centroid-1"])
    points = whole[["centroid-0", "centroid-1", "class"]]
    tiles = cover(SIZE, 70, 14)
    seen = [(t, picture[t.window(SIZE)["Y"], t.window(SIZE)["X"]]) for t in tiles]
    for table in (boxes, points):
        parts = ((t, Objects(decode(pixels).objects[list(table.columns)])) for t, pixels in seen)
        made, by = Objects.stitch(parts, SIZE).table, list(table.columns[:2])
        by = [name for name in table.columns if name.startswith(("bbox", "centroid"))]
        left, right = (each.sort_values(by).reset_index(drop=True) for each in (made, table))
        assert list(made.columns) == list(table.columns) and len(left) == len(right)
        np.testing.assert_allclose(left[by], right[by], atol=1e-9)
    codes = picture.astype(np.uint8)
    made = Regions.stitch(((t, Regions(p.astype(np.uint8), ("-", "cell"), 9)) for t, p in seen), SIZE)
    np.testing.assert_array_equal(made.codes, codes)
    assert made.classes == ("-", "cell") and made.ignore == 9


def test_tiles_that_disagree_give_one_object_not_two():
    tiles = cover((20, 40), (20, 28), 4)  # cores meet at 20
    one, two = np.zeros((20, 24), np.uint32), np.zeros((20, 24), np.uint32)
    one[5:11, 14:24] = 1  # centre at 18.5: the left tile owns it
    two[5:11, 2:8] = 1  # seen smaller from the right: centre at 20.5, and the right tile owns that
    for order in (1, -1):
        parts = [(tile, Labels.of(pixels)) for tile, pixels in zip(tiles, (one, two), strict=True)][::order]
        made = Labels.stitch(iter(parts), (20, 40))
        assert made.count == 1 and made.objects["area"].tolist() == [60]
    two[:] = 0
    two[5:11, 7:15] = 1  # at 23 to 31: it touches the other's last column
    parts = [(tile, Labels.of(pixels)) for tile, pixels in zip(tiles, (one, two), strict=True)]
    made = [Labels.stitch(iter(parts[::order]), (20, 40)) for order in (1, -1)]
    np.testing.assert_array_equal(made[0].instances, made[1].instances)
    assert made[0].count == 2 and made[0].objects["area"].sum() == 60 + 48 - 6
    with pytest.raises(AnswerError, match="the answer of a tile is 20 x 24 pixels, its window 30 x 24"):
        Labels.stitch([(cover((30, 40), (30, 28), 4)[0], Labels.of(one))], (30, 40))
    assert Labels.stitch(iter([]), (5, 6)).instances.shape == (5, 6)


def test_a_stack_is_joined_too():
    stack = np.stack([world(2)] * 3)
    tiles = cover(SIZE, 60, 14)
    parts = ((t, decode(stack[:, t.window(SIZE)["Y"], t.window(SIZE)["X"]])) for t in tiles)
    made, whole = Labels.stitch(parts, SIZE), decode(stack)
    np.testing.assert_array_equal(made.instances, numbered_by_place(whole.instances, whole.objects)[0])


@pytest.mark.parametrize(("top", "dtype"), [(65_535, np.uint16), (65_536, np.uint32), (2**32 - 1, np.uint32)])
def test_numbers_are_written_small_where_they_fit(tmp_path, top, dtype):
    answer = Labels.of(np.array([[0, 5], [top, top]], np.uint32), ignore=5)
    cells = answer.cells(tmp_path, "prediction@forest")
    pixels = tifffile.imread(tmp_path / cells["prediction@forest"])
    assert pixels.dtype == dtype and int(pixels.max()) == top
    assert (cells["prediction@forest.count"], cells["prediction@forest.ignore"]) == (1, 5)
    assert answer.cells(tmp_path, "prediction@forest") == cells  # written again, it is the same file
    assert len(list(tmp_path.rglob("*.*"))) == 2


def table_of_files(folder, rows=12):
    """A table whose truth and two predictions are label images."""
    made = []
    for k in range(rows):
        truth, said = random_pair(k)
        paths = {}
        for name, image in (("truth", truth), ("prediction", said), ("prediction@worse", np.roll(said, 3, 0))):
            paths |= Labels.of(image).cells(folder, name)
        made.append({"id": f"image {k}", "group": f"g{k % 6}", **paths})
    return DataFrame(made)


def test_evaluate_judges_columns_of_label_images(tmp_path):
    table = table_of_files(tmp_path)
    report = evaluate(table, predictions=("prediction", "prediction@worse"), draws=100, facts={"folder": str(tmp_path)})
    numbers = report.numbers["prediction"]
    assert report.task == "labels" and report.headline == "dsb_ap" and not report.permutation
    assert numbers["dsb_ap"].low < numbers["dsb_ap"].value < numbers["dsb_ap"].high
    assert report.contests[0].verdict == "better" and "coco_ap" not in numbers
    assert "To outline every object in 12 samples from 6 groups" in report.markdown()
    page = report.write(tmp_path / "report").read_text("utf-8")
    assert "Kinds of mistakes" in page and "Objects and outlines" in page
    tifffile.imwrite(tmp_path / table["prediction"][3], np.zeros((5, 5), np.uint16))
    with pytest.raises(AnswerError, match="the prediction is 5 x 5 pixels, the truth 40 x 50") as caught:
        evaluate(table, draws=100, facts={"folder": str(tmp_path)})
    assert "row image 3" in caught.value.where


def test_the_command_reads_a_table_of_label_images(tmp_path):
    from typer.testing import CliRunner

    from potency.cli import app

    table_of_files(tmp_path).to_csv(tmp_path / "table.csv", index=False)
    call = ["evaluate", str(tmp_path / "table.csv"), "--into", str(tmp_path / "out"), "--draws", "100"]
    for more, kind in (([], "labels"), (["--kind", "regions"], "regions")):
        ran = CliRunner().invoke(app, [*call, *more, "--json"])
        assert ran.exit_code == 0 and f'"task": "{kind}"' in ran.stdout, ran.output


def test_what_is_not_an_answer_is_refused_in_words(tmp_path):
    float_path, bad, there = tmp_path / "f.tif", tmp_path / "bad.tif", tmp_path / "ok.tif"
    tifffile.imwrite(float_path, np.tile(np.float32([0, 0.5]), (4, 2)))
    tifffile.imwrite(tmp_path / "below.tif", np.diag([1, -1, 2, 3]).astype(np.int16))
    tifffile.imwrite(tmp_path / "large.tif", np.zeros((6, 4), np.uint8))
    (tmp_path / "boxes.csv").write_text("xmin,ymin,xmax,ymax\n1,1,3,3\n")
    masks.write(tmp_path / "outlines.geojson", masks.of_labels(np.eye(4, dtype=np.uint32)))
    tifffile.imwrite(there, np.eye(4, dtype=np.uint8))
    bad.write_bytes(b"II*\0\0\0\0\0")
    DataFrame({"label": [7]}).to_csv(tmp_path / "other.csv", index=False)
    DataFrame({"label": [1, 1]}).to_csv(tmp_path / "twice.csv", index=False)
    DataFrame({"name": [1]}).to_csv(tmp_path / "none.csv", index=False)
    for cells, message in (
        ({"": "gone.tif"}, "there is no file gone.tif"),
        ({"": None}, "names no file"),
        ({"": "f.tif"}, "8 pixels are no whole numbers"),
        ({"": "below.tif"}, "1 pixels have negative ids"),
        ({"": "bad.tif"}, "holds no pages"),
        ({"": "boxes.csv"}, "holds boxes or points, no outlines"),
        ({"": "outlines.geojson"}, "the size of the image is not known"),
        ({"": "ok.tif", "image": "large.tif"}, "the objects are of 4 x 4 pixels, their image of 6 x 4"),
        ({"": "ok.tif", "objects": "other.csv"}, "does not tell of 1 of 1 objects"),
        ({"": "ok.tif", "objects": "twice.csv"}, "has the label 1 twice"),
        ({"": "ok.tif", "objects": "none.csv"}, "has no column 'label'"),
        ({"": "ok.tif", "ignore": "some"}, "'some' is no whole number"),
    ):
        with pytest.raises(AnswerError, match=message) as caught:
            Labels.of_cells(cells, tmp_path)
        assert caught.value.where and caught.value.mend
    with pytest.raises(AnswerError, match="holds the number -1"):
        Labels.of(np.full((2, 2), -1))
    with pytest.raises(AnswerError, match="the image is 3 x 3 pixels, the answer 12 x 16"):
        Labels.of(ZOO["perfect"][0]).draw(np.zeros((3, 3)))
    with pytest.raises(AnswerError, match="code 3, and there are 2 classes"):
        Regions(np.full((2, 2), 3), ("a", "b")).compare(Regions(np.zeros((2, 2), int), ("a", "b")))
    with pytest.raises(AnswerError, match="other classes"):
        Regions(np.zeros((2, 2), int), ("b", "a")).compare(Regions(np.zeros((2, 2), int), ("a", "b")))
    flat = DataFrame({f"bbox-{k}": [1.0] for k in range(4)})
    with pytest.raises(AnswerError, match="a box has no size"):
        Objects(flat).compare(Objects(flat))
    with pytest.raises(AnswerError, match="holds points, the truth boxes"):
        Objects(DataFrame({"centroid-0": [1.0], "centroid-1": [1.0]})).compare(Objects(flat))
    with pytest.raises(AnswerError, match="the centre of an object is no finite number"):
        Objects(DataFrame({"centroid-0": [np.nan], "centroid-1": [1.0]})).compare(Objects(DataFrame()))


def test_empty_answers_of_every_kind_are_judged():
    none = np.zeros((6, 6), np.uint16)
    found = Labels.summarise(Evidence.stack([Labels.of(none).compare(Labels.of(none))]), np.ones((1, 1)))
    assert found["count_mae"][0] == 0 and np.isnan(found["dsb_ap"][0]) and np.isnan(found["pq"][0])
    nothing = Objects(DataFrame({"centroid-0": [], "centroid-1": []}))
    found = Objects.summarise(nothing.compare(nothing), np.ones((1, 1)))
    assert np.isnan(found["f1"][0]) and found["count_mae"][0] == 0
    assert nothing.draw(np.zeros((4, 4))).shape[1] >= 128
