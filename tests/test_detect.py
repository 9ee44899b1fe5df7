"""Points and boxes: they move with their images, are learned, decoded, tiled and counted; misfits are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pandas import DataFrame
from PIL import Image as Pillow
from torch import Generator

from potency.answers import Density, Objects
from potency.data.manifest import Manifest
from potency.data.plan import Facts, Plan
from potency.data.tiles import cover
from potency.decoding.centres import boxes_apart, peaks
from potency.errors import ManifestError, PlanError
from potency.learning.augment import GEOMETRY
from potency.learning.gradient import Lesson, views
from potency.learning.moving import augment_listed, in_window
from potency.learning.planning import planned
from potency.learning.samples import cut
from potency.learning.truths import INNER, LISTED, listings
from potency.tasks import find_task

SETTINGS = {"boxes": 1.0, "height": 12.0, "width": 16.0, "largest": 20.0, "near": 20.0, "most": 9.0}


def boxes(*rows: tuple[float, ...], kind: str = "") -> Objects:
    table = DataFrame([row[:4] for row in rows], columns=[f"bbox-{k}" for k in range(4)], dtype=float)
    return Objects(table.assign(**{"class": kind}) if kind else table)


@pytest.mark.parametrize("name", sorted({*GEOMETRY} - {"window"}))
def test_objects_move_with_their_image(name: str) -> None:
    """A blob is drawn where an object is: after the image was moved it must lie where the object went."""
    rng, seen, y, x = np.random.default_rng(0), 0, *np.indices((64, 64))
    for seed in range(12):
        middle, half = rng.uniform(16, 48, 2), rng.uniform(3, 9, 2)
        place = np.concatenate([middle - half, middle + half, [2]])[None]
        blob = np.exp(-((y - middle[0] + 0.5) ** 2 + (x - middle[1] + 0.5) ** 2) / 8).astype(np.float32)
        moved, found = augment_listed(
            torch.from_numpy(blob)[None, None], [(place, (64, 64))], {name: 0.8}, Generator().manual_seed(seed)
        )
        for top, left, bottom, right, kind in found[0]:
            assert kind == 2
            high, wide = moved.shape[2:]  # a window is smaller
            if min(top, left) <= 0 or bottom >= high or right >= wide:
                continue  # cut, so its middle is another
            at = (top + bottom) / 2 - 0.5, (left + right) / 2 - 0.5
            rows, columns = np.indices((high, wide))
            weight = moved[0, 0].numpy() * ((rows - at[0]) ** 2 + (columns - at[1]) ** 2 < 49)
            axes = (rows, at[0]), (columns, at[1])
            apart = [float((weight * axis).sum() / weight.sum()) - side for axis, side in axes]
            assert np.hypot(*apart) < 0.15
            seen += 1
    assert seen >= 2


@pytest.mark.parametrize("name", ["detect", "count"])
def test_targets_are_as_large_as_the_window_that_is_learned_from(name: str, folder: Path) -> None:
    task, rows = find_task(name), Manifest.read(folder / "boxes.csv")
    plan = planned(Facts.of(rows), task, network="unet:width=2:depth=2", tile=128, augment={"window": 0.5})
    truths = [task.answer.of_cells({"": "boxes.csv", "image": image}, folder) for image in rows.table["image"]]
    plan, samples = task.prepare(plan, truths), cut(rows, plan, folder / "cache")
    where = np.arange(len(samples.crops))
    plan = plan.but(scaling=samples.scaling(where, plan))
    lesson = Lesson(samples, where, listings(rows, task, plan, samples, where))
    for seen in views(task, plan, lesson, where, 0):
        assert seen["image"].shape[1:] == (64, 64)
        assert all(value.shape[-2:] == (64, 64) for key, value in seen.items() if key != "image")


def test_boxes_turn_and_mirror_exactly_and_come_twice_in_a_mirror() -> None:
    place = np.array([[2.0, 3, 8, 15, 0], [20, 26, 20, 26, 1]])
    image = torch.zeros(1, 1, 32, 32)
    for seed in range(8):
        _, (found,) = augment_listed(image, [(place, (32, 32))], {"turn": 1.0}, Generator().manual_seed(seed))
        sides = sorted((found[0, 2:4] - found[0, :2]).tolist())
        assert sides == pytest.approx([6, 12]) and (found[1, :2] == found[1, 2:4]).all()
    _, (found,) = augment_listed(image, [(place, (32, 20))], {}, Generator().manual_seed(0))
    assert sorted(found[:, 1].tolist()) == pytest.approx([3, 25])  # the point lies beside the narrow image
    assert in_window(np.array([[0.0, 0, 10, 10, 3]]), (8, 0, 20, 20)).tolist() == [[0, 0, 2, 10, 3]]
    assert in_window(np.array([[0.0, 0, 10, 10, 3]]), (9, 0, 20, 20))[0, 4] == -1  # too little of it to be judged
    assert not len(in_window(np.array([[0.0, 0, 10, 10, 3]]), (10, 0, 20, 20)))


def test_suppression_agrees_with_torchvision() -> None:
    from torchvision.ops import batched_nms

    rng = np.random.default_rng(0)
    low, side = rng.uniform(0, 90, (400, 2)), rng.uniform(2, 30, (400, 2))
    edges, kind, score = np.concatenate([low, low + side], 1), rng.integers(0, 3, 400), rng.permutation(400) / 400
    kept = boxes_apart(edges, kind, score, 0.4)
    other = batched_nms(*map(torch.from_numpy, (edges[:, [1, 0, 3, 2]], score, kind)), 0.4)
    assert kept.tolist() == other.tolist() and 50 < len(kept) < 350


def test_peaks_are_those_of_max_pooling_and_a_plateau_is_one() -> None:
    heat = torch.rand(2, 40, 50, generator=Generator().manual_seed(0))
    top = (torch.nn.functional.max_pool2d(heat, 5, 1, 2) == heat) & (heat > 0.5)
    kind, row, column, height = peaks(heat.numpy(), 0.5, 2)
    assert set(zip(kind, row, column, strict=True)) == set(map(tuple, top.nonzero().tolist()))
    assert (np.diff(height) <= 0).all()
    assert len(peaks(np.ones((1, 3, 5), np.float32), 0.5, 2)[0]) < 4
    assert len(peaks(np.zeros((1, 3, 5), np.float32), 0.5, 2)[0]) == 0


@pytest.mark.parametrize("points", [False, True])
def test_what_a_perfect_network_says_is_decoded_to_the_truth(points: bool) -> None:
    detect = find_task("detect")
    plan = Plan(task="detect", channels=("a",), classes=("x", "y"), tile=96, settings=SETTINGS)
    truth = np.array([[4, 8, 20, 30, 0], [40.5, 41, 52, 70.5, 1], [60, 60, 90, 95, 0], [40, 44, 54, 70, 0]])
    if points:
        plan = plan.but(settings={**SETTINGS, "boxes": 0.0})
        truth[:, 2:4] = truth[:, :2]
    target = detect.target(truth, plan)
    output = np.concatenate([40 * target["heat"] - 39, target["rest"]])
    answer = detect.decode({"output": output.astype(np.float32)}, plan)
    assert isinstance(answer, Objects) and answer.boxes != points and len(answer.table) == 4
    order = np.argsort(answer.edges()[:, 1])
    np.testing.assert_allclose(answer.edges()[order], truth[np.argsort(truth[:, 1]), :4], atol=1e-3)
    assert answer.table["class"].to_numpy()[order].tolist() == ["x", "y", "x", "x"]


def test_place_and_size_of_a_small_object_weigh_as_much_as_of_a_large_one() -> None:
    boxes = np.array([[2, 2, 10, 10, 0], [20, 20, 60, 64, 0], [2, 40, 14, 50, 0]], np.float32)
    told = find_task("detect").target(boxes, Plan(task="detect", channels=("a",), tile=80, settings=SETTINGS))
    weights = [told["near"][int(a) : int(c), int(b) : int(d)].sum() for a, b, c, d, _ in boxes]
    np.testing.assert_allclose(weights, 1, rtol=1e-5)
    assert told["near"].sum() == pytest.approx(len(boxes)) and len(np.unique(told["near"])) == 3


def test_faint_boxes_rank_and_are_not_told(tmp_path: Path) -> None:
    """Average precision is that of all boxes, whatever is called an object; everything else sees those that are."""
    detect, truth = find_task("detect"), np.array([[4, 8, 20, 30, 0], [40.5, 41, 52, 70.5, 0], [60, 60, 90, 95, 0]])
    plan = Plan(task="detect", channels=("a",), tile=96, settings={**SETTINGS, "least": 0.4})
    target = detect.target(np.concatenate([truth, [[4, 60, 20, 80, 0]]]), plan)
    share = np.full((1, 96, 96), 0.001)
    for at, score in zip(((11, 18), (46, 55), (74, 77), (11, 69)), (0.9, 0.2, 0.5, 0.1), strict=True):
        share[0, at[0], at[1]] = score
    output = {"output": np.concatenate([np.log(share / (1 - share)), target["rest"]]).astype(np.float32)}
    answer, every = (detect.decode(output, one) for one in (plan, plan.but(settings={**SETTINGS, "least": 0.0})))
    assert isinstance(answer, Objects) and isinstance(every, Objects)
    assert (answer.count, len(answer.faint), every.count) == (2, 2, 4)
    again = Objects.of_cells({k[10:].lstrip("."): v for k, v in answer.cells(tmp_path, "prediction").items()}, tmp_path)
    true = Objects(DataFrame(truth[:, :4], columns=[f"bbox-{k}" for k in range(4)]))
    said, all_said = ({k: float(v[0]) for k, v in Objects.summarise(one.compare(true), np.ones((1, 1))).items()}
                      for one in (again, every))  # fmt: skip
    assert said["coco_ap"] == all_said["coco_ap"] == 1  # the spurious one comes after all others
    assert (said["f1"], all_said["f1"]) == (pytest.approx(0.8), pytest.approx(6 / 7))
    assert (said["count_bias"], all_said["count_bias"]) == (-1, 1)
    assert again.mistakes(true)["what"].tolist() == ["found", "missed", "found", "found", "found"]
    parts = [(tile, replace(answer, table=answer.table[:0], faint=answer.faint - [*[tile.window((96, 96))[k].start
             for k in "YX"] * 2, 0])) for tile in cover((96, 96), 50, 10)]  # fmt: skip
    whole = Objects.stitch(iter(parts), (96, 96))
    assert whole.count == 0 and len(whole.faint) == 2, "each once, from the tile that holds its middle"


def test_objects_and_densities_of_tiles_are_counted_once() -> None:
    rng, size = np.random.default_rng(0), (90, 130)
    density = rng.random(size).astype(np.float32) / 50
    points = DataFrame({"centroid-0": rng.uniform(0, 89, 60), "centroid-1": rng.uniform(0, 129, 60)})
    parts, maps = [], []
    for tile in cover(size, 50, 10):
        window = tile.window(size)
        y, x = window["Y"], window["X"]
        maps.append((tile, Density(values=density[y, x])))
        inside = points["centroid-0"].between(y.start - 0.5, y.stop - 0.5, inclusive="left")
        inside &= points["centroid-1"].between(x.start - 0.5, x.stop - 0.5, inclusive="left")
        parts.append((tile, Objects(points[inside] - [y.start, x.start])))
    assert sum(len(part.table) for _, part in parts) > 60
    assert Objects.stitch(iter(parts), size).count == 60
    whole = Density.stitch(iter(maps), size)
    assert whole.values is not None and (whole.values == density).all()
    assert whole.count == float(density.sum(dtype=np.float64))


def test_a_density_is_written_read_and_judged_against_points(tmp_path: Path) -> None:
    values = np.zeros((40, 60), np.float32)
    values[5, 5], values[30, 50] = 1.5, 1.0
    cells = Density(values=values).cells(tmp_path, "prediction")
    again = Density.of_cells({"": cells["prediction"]}, tmp_path)
    assert again.count == cells["prediction.count"] == 2.5
    truth = Objects(DataFrame({"centroid-0": [5.0, 30.0, 31.0], "centroid-1": [5.0, 50.0, 10.0]}))
    figures = {k: float(v[0]) for k, v in Density.summarise(again.compare(truth), np.ones((1, 1))).items()}
    assert figures["count_mae"] == 0.5 and figures["game"] == 0.5 + 0 + 1
    assert figures["count_bias"] == -0.5 and figures["count_mape"] == pytest.approx(0.5 / 3)
    assert again.draw(np.zeros((40, 60))).shape[2] == 3
    # GAME by slicing, as its authors write it.
    rng = np.random.default_rng(0)
    one, two = rng.random((2, 64, 48)).astype(np.float32)
    cells_of = [(slice(16 * r, 16 * r + 16), slice(12 * c, 12 * c + 12)) for r in range(4) for c in range(4)]
    game = sum(abs(one[cell].sum() - two[cell].sum()) for cell in cells_of)
    found = Density.summarise(Density(values=one).compare(Density(values=two)), np.ones((1, 1)))["game"][0]
    assert found == pytest.approx(game, rel=1e-5)


def test_a_target_of_density_adds_up_to_the_objects_in_the_crop() -> None:
    count = find_task("count")
    plan = Plan(task="count", channels=("a",), tile=40, settings={"spread": 3.0, "near": 9.0})
    drawn = np.array([[0.5, 0.5, 0.5, 0.5, 0], [39, 20, 39, 20, 0], [20, 20, 20, 20, 0], [0, 0, 8, 8, -1]])
    target = count.target(drawn, plan)
    assert target["density"].sum() / (2 * np.pi * 9) == pytest.approx(3, abs=1e-4)
    assert target["judged"].sum() == 1600 - 64
    said = count.decode({"output": target["density"][None]}, plan)
    assert said.count == pytest.approx(3, abs=1e-4)  # type: ignore[attr-defined]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return boxed(tmp_path)


def boxed(tmp_path: Path) -> Path:
    """Three images with a table that holds a row an object; the third image has none."""
    for name in ("a", "b", "c"):
        (tmp_path / "images").mkdir(exist_ok=True)
        Pillow.fromarray(np.full((40, 60), 9, np.uint8)).save(tmp_path / "images" / f"{name}.png")
    lines = ["image,class,xmin,ymin,xmax,ymax", "a.png,red,4,5,20,25", "a.png,white,30,5,50,25", "b.png,red,1,2,9,12"]
    (tmp_path / "boxes.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_a_table_with_a_row_an_object_is_one_row_an_image(folder: Path) -> None:
    rows = Manifest.read(folder / "boxes.csv")
    assert rows.table["image"].tolist() == ["images/a.png", "images/b.png"] and rows.kinds["truth"] == "objects"
    assert "a row an object" in rows.origin["truth"]
    detect = find_task("detect")
    answers = [Objects.of_cells({"": "boxes.csv", "image": image}, folder) for image in rows.table["image"]]
    plan = detect.prepare(planned(Facts.of(rows), detect, network="unet:width=4:depth=2"), answers)
    assert plan.classes == ("red", "white") and plan.settings["boxes"] == 1 and plan.settings["most"] == 2
    assert plan.halo is not None and plan.halo >= plan.settings["largest"]
    samples = cut(rows, plan.but(tile=32), folder / "cache")
    assert len(samples.crops) == 8  # 40 x 60 in crops of 32: none of it goes unseen
    listed = listings(rows, detect, plan.but(tile=32), samples, np.arange(8))
    assert [one[INNER] for one in listed] == [(32, 32)] * 8
    assert [one[LISTED].tolist() for one in listed[:1]] == [[[5, 4, 25, 20, 0], [5, 30, 25, 32, -1]]]


def test_points_named_by_a_table_without_paths_are_found_beside_the_images(folder: Path) -> None:
    (folder / "points").mkdir()
    for name in ("a", "b", "c"):
        (folder / "points" / f"{name}.csv").write_text("x,y\n" + ("" if name == "c" else "3,4\n5,6\n"))
    (folder / "boxes.csv").unlink()
    (folder / "manifest.csv").write_text("name,donor\na,1\nb,2\nc,2\n")
    rows = Manifest.read(folder)
    assert rows.table["truth"].tolist() == [f"points/{name}.csv" for name in "abc"]
    assert rows.origin["truth"] == "points beside the images" and rows.kinds["truth"] == "objects"
    plan = planned(Facts.of(rows), find_task("count"), network="unet:width=4:depth=2", steps=1)
    answers = [Density.of_cells({"": cell}, folder) for cell in rows.table["truth"]]
    assert [answer.count for answer in answers] == [2, 2, 0]  # an image without objects is one
    assert find_task("count").prepare(plan, answers).settings["most"] == 2


def test_objects_that_do_not_fit_are_refused_in_words(folder: Path) -> None:
    detect = find_task("detect")
    rows = Manifest.read(folder / "boxes.csv")
    plan = planned(Facts.of(rows), detect, network="unet:width=4:depth=2", tile=32)
    with pytest.raises(PlanError, match="the class 'blue' is not in the plan"):
        detect.places(boxes((1, 1, 4, 4), kind="blue"), plan.but(classes=("red",)))
    with pytest.raises(PlanError, match="have no class, those of others have"):
        detect.places(boxes((1, 1, 4, 4)), plan.but(classes=("red",)))
    with pytest.raises(PlanError, match="no row to learn from has an object"):
        detect.prepare(plan, [Objects(DataFrame())])
    points = Objects(DataFrame({"centroid-0": [1.0], "centroid-1": [1.0]}))
    with pytest.raises(PlanError, match="some rows have boxes, others points"):
        detect.prepare(plan, [boxes((1, 1, 4, 4)), points])
    with pytest.raises(PlanError, match="made to fit by 'pad'"):
        detect.prepare(plan.but(fitting="pad"), [points])
    (folder / "far.csv").write_text("centroid-0,centroid-1\n5,300\n")
    table = DataFrame({"image": ["images/a.png"], "truth": ["far.csv"]})
    far = replace(Manifest.of_rows(table, folder), kinds={"truth": "objects"})
    plan = plan.but(settings={**SETTINGS, "boxes": 0.0})
    with pytest.raises(ManifestError, match="1 of 1 objects lie outside the image of 40 x 60 pixels") as caught:
        listings(far, detect, plan, cut(far, plan, folder / "cache"), np.arange(2))
    assert "images/a.png" in caught.value.where
